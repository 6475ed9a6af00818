# commerce-mover: a client program, built when libpq's header is there to build
# it with.

MOVER         := src/mover/commerce-mover
MOVER_OBJS    := $(patsubst %.c,%.o,$(sort $(wildcard src/mover/*.c)))
MOVER_CPPFLAGS = $(CLIENT_CPPFLAGS) -DMOVER_VERSION='"$(EXTVERSION)"'
MOVER_LIBS     = $(CLIENT_LIBS) -lm

HAVE_MOVER := $(call have_headers,-I$(includedir),libpq-fe.h)

mover: $(MOVER)

$(MOVER_OBJS): %.o: %.c $(wildcard src/client/*.h src/mover/*.h) commerce.control
	$(CC) $(CLIENT_CFLAGS) $(COPT) $(CFLAGS_CLIENT) $(MOVER_CPPFLAGS) -c -o $@ $<

$(MOVER): $(CLIENT_OBJS) $(MOVER_OBJS)
	$(CC) $(CLIENT_CFLAGS) $(COPT) $(CFLAGS_CLIENT) -o $@ $^ $(MOVER_LIBS)

ifeq ($(HAVE_MOVER),yes)
all: mover
install: install-mover
uninstall: uninstall-mover
endif

install-mover: mover
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) $(MOVER) '$(DESTDIR)$(bindir)/'
	$(MKDIR_P) '$(DESTDIR)$(mandir)/man1'
	$(INSTALL_DATA) src/mover/commerce-mover.1 '$(DESTDIR)$(mandir)/man1/'

uninstall-mover:
	rm -f '$(DESTDIR)$(bindir)/commerce-mover' '$(DESTDIR)$(mandir)/man1/commerce-mover.1'

clean: clean-mover
clean-mover:
	rm -f $(MOVER) src/mover/*.o build/mover-tests/*

# The program that a test runs
mover-tests: build/mover-tests/unit

build/mover-tests/unit: test/mover/unit.c $(CLIENT_OBJS) $(filter-out src/mover/main.o,$(MOVER_OBJS))
	mkdir -p $(@D)
	$(CC) $(CLIENT_CFLAGS) $(COPT) $(CFLAGS_CLIENT) $(MOVER_CPPFLAGS) -Isrc/mover -o $@ $^ $(MOVER_LIBS)

.PHONY: mover mover-tests install-mover uninstall-mover clean-mover
