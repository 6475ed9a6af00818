# commerce-relay: a client program, built when libcurl and librdkafka are there
# to build it with.

RELAY         := src/relay/commerce-relay
RELAY_OBJS    := $(patsubst %.c,%.o,$(sort $(wildcard src/relay/*.c)))
RELAY_HEADERS := curl/curl.h librdkafka/rdkafka.h openssl/hmac.h
RELAY_CPPFLAGS = $(CLIENT_CPPFLAGS) -DRELAY_VERSION='"$(EXTVERSION)"'
RELAY_LIBS     = $(CLIENT_LIBS) -lcurl -lrdkafka -lcrypto

HAVE_RELAY := $(call have_headers,,$(RELAY_HEADERS))

relay: $(RELAY)

$(RELAY_OBJS): %.o: %.c $(wildcard src/client/*.h src/relay/*.h) commerce.control
	$(CC) $(CLIENT_CFLAGS) $(COPT) $(CFLAGS_CLIENT) $(RELAY_CPPFLAGS) -c -o $@ $<

$(RELAY): $(CLIENT_OBJS) $(RELAY_OBJS)
	$(CC) $(CLIENT_CFLAGS) $(COPT) $(CFLAGS_CLIENT) -o $@ $^ $(RELAY_LIBS)

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
	rm -f $(RELAY) src/relay/*.o build/relay-tests/*

# Programs that the tests run
relay-tests: $(addprefix build/relay-tests/,unit delivery_model mock_kafka)

build/relay-tests/mock_kafka: test/relay/mock_kafka.c
	mkdir -p $(@D)
	$(CC) $(CLIENT_CFLAGS) $(COPT) $(CFLAGS_CLIENT) -o $@ $< -lrdkafka

build/relay-tests/unit build/relay-tests/delivery_model: \
build/relay-tests/%: test/relay/%.c $(CLIENT_OBJS) $(filter-out src/relay/main.o,$(RELAY_OBJS))
	mkdir -p $(@D)
	$(CC) $(CLIENT_CFLAGS) $(COPT) $(CFLAGS_CLIENT) $(RELAY_CPPFLAGS) -Isrc/relay -o $@ $^ $(RELAY_LIBS)

.PHONY: relay relay-tests install-relay uninstall-relay clean-relay
