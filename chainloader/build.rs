//! Hands the linker script to the linker, and has it keep a list of what is an address: the image runs wherever it is put.
fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../arch/bare/bare.ld");
    for argument in [
        "-pie",
        "--no-dynamic-linker",
        "-znotext",
        "-znorelro",
        &format!("-T{script}"),
    ] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    println!("cargo:rerun-if-changed={script}");
}
