# Names only; the commands are scripts and cargo's own.

# Everything that must be green.
check:
    .ci/run

# The migration, told as it happens.
tour:
    cargo run --release -- demo

# Ratios against PostgreSQL without us, and of the Oracle adapter against the bare driver.
bench:
    cargo bench -p proxy --bench gateway
    cargo bench -p adapters --bench lanes
