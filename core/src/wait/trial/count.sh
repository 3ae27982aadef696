#!/bin/sh
# Counts the instructions of the trial's scenarios, by arm64 code under QEMU's user mode: one line an instruction, all
# counted; the difference between two runs, divided by the difference in rounds, is what a round costs.
# Needs qemu-user, gcc-aarch64-linux-gnu, and a compiler with its library source (RUSTC, default /usr/bin/rustc).
set -eu
cd "$(dirname "$0")/../../../.."
export RUSTC="${RUSTC:-/usr/bin/rustc}" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=target/trial
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export RUSTFLAGS="-C target-feature=+crt-static,-outline-atomics"
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_PANIC=unwind
program=$(cargo test --release --no-run -p halyard-core --lib -Zbuild-std=std,test,panic_unwind \
    --target aarch64-unknown-linux-gnu 2>&1 | sed -n 's/.*Executable.*(\(.*\))/\1/p')
[ -x "$program" ] || { echo "the test program did not build: see cargo's message without this script" >&2; exit 1; }
count() {
    TRIAL_ROUNDS=$2 RUST_TEST_THREADS=1 qemu-aarch64 -one-insn-per-tb -d exec,nochain -D /dev/stdout \
        "$program" --ignored --exact "wait::trial::figures::$1" | grep -c '^Trace'
}
few=100
many=600
printf '%-12s %10s %14s\n' scenario futures 'state machine'
for scenario in unblocked ping_pong channel timed fault kill; do
    printf '%-12s' "$scenario"
    for way in with_futures with_state_machine; do
        printf ' %10s' "$((($(count "$way::$scenario" $many) - $(count "$way::$scenario" $few)) / (many - few)))"
    done
    printf '\n'
done
