//! Links the tests as static executables: at 0x400000, code and data on pages of their own (W^X), without symbols.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").unwrap_or_default();
    if target != "aarch64-unknown-none-softfloat" {
        return;
    }
    for argument in [
        "--image-base=0x400000",
        "-zseparate-code",
        "-zmax-page-size=4096",
        "-znoexecstack",
        "--build-id=none",
        "--strip-all",
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
