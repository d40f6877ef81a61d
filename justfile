# Names only; the commands are scripts and cargo's own.

# Everything that must be green.
check:
    .ci/run

# The migration, told as it happens.
tour:
    cargo run --release -- demo

# Ratios against PostgreSQL without us, and of the Oracle adapter against the bare driver.
bench:
    cargo bench -p strangler --bench gateway
    cargo bench -p adapters --bench lanes

# Random disturbances against three replicas and two databases, and then the books: docs/torture.md.
torture minutes="1" seed="42":
    cargo build --bin strangler
    cargo run -p testkit --bin torture -- --minutes {{minutes}} --seed {{seed}}
