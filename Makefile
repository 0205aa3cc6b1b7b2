# make demo   install what is needed, build ozr and a test install tree, install an image, boot it
# make test   run every check and every test
# make packages  .deb and .rpm in target/packages; make install puts the same files below PREFIX
# make bench  compare an install by ozr with the same one by bare QEMU
PREFIX  ?= /usr/local
DESTDIR ?=
CARGO   ?= cargo

OZR   = target/release/ozr
# Set, Oz's commands are not installed (links to ozr): where Oz itself is.
NO_OZ =
TREES = target/install-tree
PACKAGES = target/packages

.PHONY: all build deps tree demo test test-long lint bench bench-check fuzz soak install packages packages-check clean

all: build

# Cargo knows best what is out of date.
build:
	$(CARGO) build --release --locked

deps:
	scripts/install-deps

# Prints the path of the tree; built once, then found again.
tree: deps
	fixtures/tree/build $(TREES)

demo: deps
	$(MAKE) build
	scripts/demo $(OZR) $(TREES)

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --all-targets --no-default-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --document-private-items
	scripts/lint-scripts

test: deps lint
	scripts/test $(TREES)

# Those that take minutes each, alone.
test-long: deps
	scripts/test $(TREES) long

bench: deps
	$(MAKE) build
	scripts/bench $(OZR) $(TREES)

# The speed of a check beside that of pykickstart's.
bench-check: deps
	$(MAKE) build
	scripts/bench-check $(OZR) target/venv/bin/ksvalidator kickstarts

# A minute for each target; needs cargo-fuzz and a nightly compiler.
fuzz:
	scripts/fuzz

# 200 builds, one in five with a fault by chance; about half an hour.
soak: deps
	$(MAKE) build
	OZR_TREE=$$(fixtures/tree/build $(TREES)) scripts/soak

install: build
	scripts/install-files $(OZR) $(DESTDIR)$(PREFIX)
	[ -n "$(NO_OZ)" ] || scripts/install-oz-links $(OZR) $(DESTDIR)$(PREFIX)

# Packages of what this host can pack: .deb with debhelper, .rpm with rpmbuild. docs/install.md
packages: build
	scripts/packaging/build $(OZR) $(PACKAGES)

# The packages in clean roots, and the program without libvirt; about ten minutes.
packages-check: packages
	scripts/packaging/check $(PACKAGES)
	$(CARGO) test --release --locked --no-default-features --lib --test all without_libvirt::

clean:
	$(CARGO) clean
