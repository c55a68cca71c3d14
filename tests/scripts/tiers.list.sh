# The tiers of `make verify` and `make test`, in order, and what each runs. Sourced by tiers.sh from the repository's root.

verify_tiers=(format proto clippy docs generated tidy)

tier_format() { cargo fmt --all --check; }
tier_proto() { tests/scripts/buf.sh; }
tier_clippy() { cargo clippy --workspace --all-targets --locked -- -D warnings; }
tier_docs() { RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked; }
tier_generated() { tests/scripts/gen.sh --check; }
tier_tidy() { cargo test --locked -p callboard-tests --test it tidy; }

test_tiers=(rust conformance)

tier_rust() { cargo test --workspace --locked --no-fail-fast; }
tier_conformance() { tests/scripts/conformance.sh; }
