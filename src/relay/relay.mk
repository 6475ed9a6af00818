# commerce-relay: a client program, on what client programs share (src/client/),
# built when libcurl and librdkafka are there to build it with. The library that
# the server loads has nothing of it.

RELAY         := src/relay/commerce-relay
RELAY_OBJS    := $(patsubst %.c,%.o,$(sort $(wildcard src/client/*.c src/relay/*.c)))
RELAY_HEADERS := curl/curl.h librdkafka/rdkafka.h openssl/hmac.h
RELAY_CPPFLAGS = -D_GNU_SOURCE -DRELAY_VERSION='"$(EXTVERSION)"' -Isrc -I$(includedir) -I$(includedir_internal)
RELAY_CFLAGS   = -std=gnu11 -O2 -g -Wall -Wextra -Wno-unused-parameter -Wshadow -Wmissing-prototypes
RELAY_LIBS     = -L$(libdir) -lpq -lcurl -lrdkafka -lcrypto

HAVE_RELAY := $(shell printf '\#include <%s>\n' $(RELAY_HEADERS) | \
	$(CC) -E -x c - >/dev/null 2>&1 && echo yes)

relay: $(RELAY)

$(RELAY_OBJS): %.o: %.c $(wildcard src/client/*.h src/relay/*.h) commerce.control
	$(CC) $(RELAY_CFLAGS) $(COPT) $(CFLAGS_RELAY) $(RELAY_CPPFLAGS) -c -o $@ $<

$(RELAY): $(RELAY_OBJS)
	$(CC) $(RELAY_CFLAGS) $(COPT) $(CFLAGS_RELAY) -o $@ $^ $(RELAY_LIBS)

ifeq ($(HAVE_RELAY),yes)
all: relay
install: install-relay
uninstall: uninstall-relay
endif

install-relay: relay
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) $(RELAY) '$(DESTDIR)$(bindir)/'
	$(MKDIR_P) '$(DESTDIR)$(mandir)/man1'
	$(INSTALL_DATA) src/relay/commerce-relay.1 '$(DESTDIR)$(mandir)/man1/'

uninstall-relay:
	rm -f '$(DESTDIR)$(bindir)/commerce-relay' '$(DESTDIR)$(mandir)/man1/commerce-relay.1'

clean: clean-relay
clean-relay:
	rm -f $(RELAY) src/client/*.o src/relay/*.o build/relay-tests/*

# Programs that the tests run
relay-tests: $(addprefix build/relay-tests/,unit delivery_model mock_kafka)

build/relay-tests/mock_kafka: test/relay/mock_kafka.c
	mkdir -p $(@D)
	$(CC) $(RELAY_CFLAGS) $(COPT) -o $@ $< -lrdkafka

build/relay-tests/unit build/relay-tests/delivery_model: \
build/relay-tests/%: test/relay/%.c $(filter-out src/relay/main.o,$(RELAY_OBJS))
	mkdir -p $(@D)
	$(CC) $(RELAY_CFLAGS) $(COPT) $(RELAY_CPPFLAGS) -Isrc/relay -o $@ $^ $(RELAY_LIBS)

.PHONY: relay relay-tests install-relay uninstall-relay clean-relay
