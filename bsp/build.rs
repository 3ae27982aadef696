//! Hands the kernel's linker script to the linker: for every board.
fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../arch/aarch64/kernel.ld");
    println!("cargo:rustc-link-arg-bins=-T{script}");
    println!("cargo:rerun-if-changed={script}");
}
