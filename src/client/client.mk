# What client programs share (src/client/): C on libpq, each with a build of its
# own. The library that the server loads has nothing of them.

CLIENT_OBJS    := $(patsubst %.c,%.o,$(sort $(wildcard src/client/*.c)))
CLIENT_CPPFLAGS = -D_GNU_SOURCE -Isrc -I$(includedir) -I$(includedir_internal)
CLIENT_CFLAGS   = -std=gnu11 -O2 -g -Wall -Wextra -Wno-unused-parameter -Wshadow -Wmissing-prototypes
CLIENT_LIBS     = -L$(libdir) -lpq

# $(call have_headers,FLAGS,HEADER...): yes, or nothing
have_headers = $(shell printf '\#include <%s>\n' $(2) | $(CC) $(1) -E -x c - >/dev/null 2>&1 && echo yes)

$(CLIENT_OBJS): %.o: %.c $(wildcard src/client/*.h)
	$(CC) $(CLIENT_CFLAGS) $(COPT) $(CFLAGS_CLIENT) $(CLIENT_CPPFLAGS) -c -o $@ $<

clean: clean-client
clean-client:
	rm -f $(CLIENT_OBJS)

.PHONY: clean-client
