# Thin: what these targets do is in cargo, in `viprlab` and in tools/setup.
#
#   make demo      two routers, one address, a failover: the experiment of the seed page
#   make test      everything: format, lints, docs, man pages, unit, simulation, network tests
#   make interop   viprd beside keepalived and FRR, as master and as backup: the matrix, in a minute
#   make bench     viprd beside keepalived in 10 minutes: rewrites docs/BENCHMARKS.md
#   make pieces    the criterion benches of the pieces
#   make install   binaries, man pages, configuration, systemd unit below $(DESTDIR)$(PREFIX)

PREFIX ?= /usr
DESTDIR ?=
CARGO ?= cargo
# Property tests try the same cases each time, so that a change is judged by what it changes; another
# number tries others.
export PROPTEST_RNG_SEED ?= 9568

.PHONY: all demo test interop bench pieces install setup-demo setup-test

all:
	$(CARGO) build --release --locked

setup-demo:
	@tools/setup demo

setup-test:
	@tools/setup test

demo: setup-demo
	$(CARGO) build --release --locked
	target/release/viprlab failover

test: setup-test
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items --quiet
	mandoc -T lint -W warning man/*.[1-8]
	$(CARGO) test --locked --all-targets --no-fail-fast
	$(CARGO) test --locked --doc

pieces: setup-test
	$(CARGO) bench --locked

interop: setup-test
	$(CARGO) build --release --locked
	target/release/viprlab interop

bench: setup-test
	$(CARGO) build --release --locked
	target/release/viprlab bench --svg docs/benchmarks --markdown docs/BENCHMARKS.md

install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)/etc/viprd
	install -m 755 target/release/viprd $(DESTDIR)$(PREFIX)/sbin/
	install -m 755 target/release/viprctl target/release/viprlab $(DESTDIR)$(PREFIX)/bin/
	for page in man/*.[1-8]; do \
		install -D -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; \
	done
	install -d $(DESTDIR)$(PREFIX)/share/doc/viprd/examples
	install -m 644 etc/examples/*.conf $(DESTDIR)$(PREFIX)/share/doc/viprd/examples/
	# A keepalived's configuration goes on being used: ours would come before it.
	test -e $(DESTDIR)/etc/viprd/viprd.conf || test -e $(DESTDIR)/etc/keepalived/keepalived.conf || \
		install -m 640 etc/viprd.conf $(DESTDIR)/etc/viprd/
	install -d $(DESTDIR)/lib/systemd/system
	sed 's|/usr/sbin/|$(PREFIX)/sbin/|' etc/viprd.service > $(DESTDIR)/lib/systemd/system/viprd.service
