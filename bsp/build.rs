//! Hands the kernel's linker script to the linker, and asks it for a build id: for every board.
fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../arch/aarch64/kernel.ld");
    println!("cargo:rustc-link-arg-bins=-T{script}");
    println!("cargo:rustc-link-arg-bins=--build-id=sha1");
    println!("cargo:rerun-if-changed={script}");
}
