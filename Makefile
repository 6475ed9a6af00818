# commerce, a shop's order backend as a PostgreSQL extension.
# `make help` says what there is to make.

EXTENSION  = commerce
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" commerce.control)
PG_CONFIG ?= pg_config
PGXS      := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))

# src/relay/ and src/mover/ are client programs with a build of their own.
MODULE_big = commerce
LAYERS    := worker api shop events escrow base
OBJS      := $(patsubst %.c,%.o,$(sort $(wildcard src/*.c $(LAYERS:%=src/%/*.c))))

# The install script's table of contents, in its order
INSTALL_SQL := $(patsubst %,sql/install/%.sql, \
	base/schemas \
	base/types \
	base/key \
	base/errors \
	base/arguments \
	base/attempt \
	base/currency \
	escrow/escrow \
	shop/cell \
	shop/user \
	shop/seller \
	shop/balance \
	shop/actor \
	shop/product \
	shop/promotion \
	shop/stock \
	shop/coupon \
	shop/coupon_issue \
	shop/quota \
	shop/catalogue \
	shop/order \
	shop/payment \
	shop/sheet \
	events/outbox \
	shop/idempotency \
	shop/popular \
	worker/job \
	worker/maintenance \
	shop/views \
	escrow/rebase \
	shop/transfer \
	shop/invariants \
	shop/scrub \
	shop/shipment \
	shop/archive \
	shop/fulfilment \
	shop/privacy \
	shop/conversion \
	shop/payment_result \
	shop/import \
	shop/report \
	shop/router \
	events/subscription \
	events/sink \
	events/parked \
	events/relay \
	events/retention \
	shop/called_once \
	api/callers \
	api/moment \
	api/status \
	api/metrics \
	api/endpoints \
	api/views \
	api/grants \
	api/openapi \
	api/pages \
	base/dumps \
	base/privileges)
DATA_built   = $(EXTENSION)--$(EXTVERSION).sql

# Installed beside it: the update scripts, and the frozen script of the version before, which the library serves too.
# That is the one that the update script to this version comes from.
EXTBEFORE := $(patsubst sql/$(EXTENSION)--%--$(EXTVERSION).sql,%,$(wildcard sql/$(EXTENSION)--*--$(EXTVERSION).sql))
DATA      := $(sort $(wildcard sql/$(EXTENSION)--*--*.sql $(EXTBEFORE:%=sql/$(EXTENSION)--%.sql)))

# PostgreSQL's headers are somebody else's to keep free of warnings: with
# -isystem, -Wextra looks at our code only. Left out are the two that forbid
# what PostgreSQL's interfaces ask for: callbacks that use some of their
# arguments, and {0}.
PG_CPPFLAGS := -Isrc -isystem $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)
PG_CFLAGS    = -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers

# The library exports what PostgreSQL looks up by name, and nothing else: another
# library's function of the same name must not be called in place of ours. From
# 16 on PGXS hides the rest by itself; 15 needs this list, which is made from the
# scripts that are installed.
EXPORTS    = build/commerce.exports
SHLIB_LINK = -Wl,--version-script=$(EXPORTS)

# `make installcheck` runs these against a running server; the schedules are
# the only lists of tests. The TAP tests start servers of their own, for which
# root will not do: scripts/test (`make test`) sees to that.
scheduled       = $(shell sed -n 's/^test: *//p' $(1) 2>/dev/null)
REGRESS        := $(call scheduled,test/schedule)
REGRESS_OPTS    = --inputdir=test --outputdir=. --load-extension=$(EXTENSION)
ISOLATION      := $(call scheduled,test/isolation_schedule)
ISOLATION_OPTS  = --inputdir=test --outputdir=. --load-extension=$(EXTENSION)

EXTRA_CLEAN = $(EXTENSION)--*.sql dist build/test

ifneq ($(PGXS),)
include $(PGXS)
else
all relay mover install uninstall installcheck clean:
	@echo "PG_CONFIG=$(PG_CONFIG) has no server headers of PostgreSQL: install them (Debian: postgresql-server-dev-15)," \
	  "or set PG_CONFIG to the pg_config of a PostgreSQL that has them." >&2; exit 1
endif

ifneq ($(PGXS),)
include src/client/client.mk src/relay/relay.mk src/mover/mover.mk
endif

# The library is small enough to be rebuilt whole when a header changes.
$(OBJS) $(OBJS:.o=.bc): $(wildcard $(LAYERS:%=src/%/*.h))

$(DATA_built): scripts/install-script $(INSTALL_SQL) $(wildcard web/*) commerce.control Makefile
	@scripts/install-script $(INSTALL_SQL) >$@ || { rm -f $@; exit 1; }
	@echo "$@: $(words $(INSTALL_SQL)) files of sql/install"

$(EXPORTS): $(DATA_built) $(DATA)
	@mkdir -p $(@D)
	@{ echo '{ global: Pg_magic_func; _PG_init; commerce_launcher_main; commerce_worker_main; commerce_rebase_main;'; \
	   sed -n "s/.*MODULE_PATHNAME'*, *'*\(commerce_[a-z_0-9]*\)'.*/\1; pg_finfo_\1;/p" $^ | sort -u; \
	   echo 'local: *; };'; } >$@

$(MODULE_big).so: $(EXPORTS)

# The versions of the script that the library serves
src/base/version.o src/base/version.bc: commerce.control $(DATA)
src/base/version.o src/base/version.bc: override CPPFLAGS += \
	-DCOMMERCE_VERSION='"$(EXTVERSION)"' -DCOMMERCE_VERSION_BEFORE='"$(EXTBEFORE)"'

test:
	@scripts/test

# The long forms of stages of `make test`. What they need, they get by the environment.
fuzz:
	@seed=$${SEED:-$$(date +%s)}; echo "Random calls for $(SECONDS) s by each of the fuzzers, SEED=$$seed"; \
	  STAGE=fuzz PRELOAD=on FUZZ_SECONDS=$(SECONDS) FUZZ_SESSIONS=$${SESSIONS:-6} FUZZ_SEED=$$seed scripts/test

inject:
	@seed=$${SEED:-$$(date +%s)}; echo "Faults at each place that allocates, SEED=$$seed"; \
	  STAGE=inject PRELOAD=on INJECT_POINTS=$${POINTS:-each} INJECT_SEED=$$seed INJECT_MODES="$(MODES)" INJECT_KINDS="$(KINDS)" \
	  INJECT_FUNCTIONS="$(FUNCTIONS)" INJECT_SECONDS=$(SECONDS) scripts/test-on asserts

torture:
	@seed=$${SEED:-$$(date +%s)}; echo "$(ROUNDS) rounds of killing, 3 to 5 s each, SEED=$$seed"; \
	  STAGE=kills PRELOAD=on KILL_ROUNDS=$(ROUNDS) KILL_SEED=$$seed scripts/test

test-asserts:
	@scripts/test-on asserts

test-asan:
	@scripts/test-on asan

fuzz: SECONDS ?= 600
inject: MODES ?= warm reset cold try savepoint
inject: KINDS ?= oom cancel die
inject: SECONDS ?= 60
torture: ROUNDS ?= 100

test-ha:
	@scripts/install-packages patroni etcd-server pgbouncer
	@HA=1 STAGE=tap TESTS=066_ha PRELOAD=on scripts/test

test-versions:
	@scripts/test-versions $(VERSIONS)

test-clients:
	@scripts/install-packages --clients
	@CLIENTS=all STAGE=clients PRELOAD=on scripts/test

lint: $(MODULE_big).so
	@scripts/lint

# What a release does to its install script: a copy that lint keeps as it is
freeze: $(DATA_built)
	@scripts/freeze

deb:
	@scripts/deb

demo:
	@scripts/demo

stop-demo:
	@scripts/demo-rest stop
	@CLUSTER=demo scripts/cluster stop

demo-cells:
	@scripts/demo-cells

bench:
	@test -x bench/run || { echo "There is no bench/run here." >&2; exit 1; }
	@bench/run

dist:
	@mkdir -p dist
	git archive --format=zip --prefix=$(EXTENSION)-$(EXTVERSION)/ \
	  --output=dist/$(EXTENSION)-$(EXTVERSION).zip HEAD

define help_text
  make                build the library and the install script, commerce-mover, and
                        commerce-relay if libcurl and librdkafka are there to build it with
  make install        install them where PG_CONFIG says (as root, usually)
  make relay, mover   build commerce-relay, commerce-mover alone
  make installcheck   regression and isolation tests on a running server
  make test           every test, on throwaway servers that leave nothing behind
                        STAGE="regress pgtap"  only these stages
                        TESTS="pricing claim"  only these tests
                        PRELOAD=on|off         only this form of the server
  make test-asserts   the same on a PostgreSQL with assertions, which is built from
                        Debian's source package: 6 minutes once, then 30
  make test-asan      the same with AddressSanitizer and UBSan: 1 minute more once, then 40
  make test-versions  regress, isolation, pgtap and tap on PostgreSQL 15, 17 and 18, and compiles
                        for 19, in Debians that are made once: as root; VERSIONS="17 18"
  make test-ha        deploy/ha, by killing the server that leads: 3 minutes
  make test-clients   docs/clients.md with every driver, for which it installs Go, Rust
                        and Java: 5 minutes
  make fuzz           random calls of every function; SECONDS=600 TESTS=batches
  make inject         every function runs out of memory, is cancelled, is terminated at
                        each allocation, on the server of test-asserts: hours;
                        FUNCTIONS="place_order fold" MODES="warm reset cold try savepoint"
                        KINDS="oom twice cancel die"; the maintenance worker runs out of
                        memory for SECONDS=60
  make torture        what runs is killed, in ROUNDS=100
                        these three: SEED=N repeats a run
  make lint           checks of the sources that need no server
  make freeze         the install script of a version, as it is released, into sql/
  make demo           a shop to play with, on a server of its own
  make stop-demo      and its end
  make demo-cells     a flash sale over three cells, one of which is killed: a minute
  make bench          measurements (bench/)
  make deb            Debian's packages of the extension, commerce-relay and commerce-mover, in dist/
  make dist           dist/commerce-VERSION.zip, as PGXN wants it
  make clean          remove what was built

COPT=-Werror makes warnings errors, as the tests do.
endef
export help_text
help:
	@echo "$$help_text"

.PHONY: test test-ha test-versions test-clients test-asserts test-asan fuzz inject torture lint freeze demo stop-demo demo-cells bench dist deb help
