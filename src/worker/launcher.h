/*
 * launcher.h
 *	  Who starts the background workers "commerce maintenance".
 */
#ifndef COMMERCE_LAUNCHER_H
#define COMMERCE_LAUNCHER_H

/* Registers the launcher; called while the library is being preloaded. */
extern void launcher_init(void);

#endif
