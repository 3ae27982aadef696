//! Reads every Rust file for what the rules say of sources: where `unsafe` may stand and that it gives its reason, that
//! portable code knows no machine, and how long files and functions are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Finding;
use super::rooms::{Room, room_of};
use crate::workspace::Workspace;

/// A file longer than this, tests aside, is asked what second thing it is doing.
const LONG_FILE: usize = 600;

/// A function longer than this is asked the same.
const LONG_FUNCTION: usize = 60;

/// How many lines above an unsafe block its reason may begin: a statement of some lines with the block at its end.
const REACH: usize = 8;

/// Checks every file of every package.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let roots = safe_roots(workspace);
    let boards: Vec<String> = workspace
        .boards
        .iter()
        .map(|(name, _)| name.to_owned())
        .collect();
    for package in workspace.members() {
        let Some(dir) = package.manifest_path.as_std_path().parent() else {
            continue;
        };
        for file in rust_files(dir)? {
            let name = workspace.relative(&file).to_owned();
            let Some(room) = room_of(&name) else { continue };
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", name.display()))?;
            findings.extend(read(&name, &text, room, roots.contains(&file), &boards));
        }
    }
    Ok(findings)
}

/// The root files of crates that must forbid unsafe code.
fn safe_roots(workspace: &Workspace) -> Vec<PathBuf> {
    let members = workspace.members().iter().filter(|package| {
        let manifest = workspace.relative(package.manifest_path.as_std_path());
        room_of(manifest).is_some_and(|room| !room.allows_unsafe)
    });
    let targets = members
        .flat_map(|package| &package.targets)
        .filter(|target| !target.is_custom_build());
    targets
        .map(|target| target.src_path.clone().into_std_path_buf())
        .collect()
}

/// Every Rust file below a package's directory, but for packages within it and what is built.
fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let entries =
            std::fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                let foreign = path.join("Cargo.toml").exists() || path.ends_with("target");
                if !foreign {
                    dirs.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Checks one file.
fn read(name: &Path, text: &str, room: &Room, safe_root: bool, boards: &[String]) -> Vec<Finding> {
    let file = match syn::parse_file(text) {
        Ok(file) => file,
        Err(error) => {
            let line = error.span().start().line;
            return vec![Finding::new(
                name,
                line,
                format!("it cannot be read: {error}"),
            )];
        }
    };
    let lines: Vec<&str> = text.lines().collect();
    let mut reader = Reader {
        name,
        lines: &lines,
        room,
        boards,
        tests: 0,
        findings: Vec::new(),
    };
    if safe_root && !forbids_unsafe(&file) {
        reader.find(1, "the crate must say #![forbid(unsafe_code)]");
    }
    if !lines.first().is_some_and(|line| line.starts_with("//!")) {
        reader.findings.push(Finding::advice(
            name,
            1,
            "the first line should say what the module is (//!)",
        ));
    }
    if is_test_file(name) {
        reader.tests = lines.len();
        reader.in_tests(|reader| reader.visit_file(&file));
    } else {
        reader.visit_file(&file);
    }
    let length = lines.len().saturating_sub(reader.tests);
    if length > LONG_FILE {
        let text = format!("{length} lines without tests; which second thing is it doing?");
        reader.findings.push(Finding::advice(name, 0, text));
    }
    reader.findings
}

/// Whether a file holds nothing but tests, by its name: `tests.rs`, `pipe_tests.rs`, or anything below `tests/`.
fn is_test_file(name: &Path) -> bool {
    let stem = name
        .file_stem()
        .is_some_and(|stem| stem.to_string_lossy().ends_with("tests"));
    stem || name.components().any(|part| part.as_os_str() == "tests")
}

fn forbids_unsafe(file: &syn::File) -> bool {
    file.attrs.iter().any(|attribute| {
        attribute.path().is_ident("forbid")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|lint| lint.is_ident("unsafe_code"))
    })
}

/// One file being read.
struct Reader<'a> {
    name: &'a Path,
    lines: &'a [&'a str],
    room: &'a Room,
    boards: &'a [String],
    /// Lines of test modules seen so far.
    tests: usize,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn find(&mut self, line: usize, text: impl Into<String>) {
        self.findings.push(Finding::new(self.name, line, text));
    }

    /// Reads tests: they may be long, name boards and hold fixtures; unsafe they may be no more than the rest.
    fn in_tests(&mut self, read: impl FnOnce(&mut Self)) {
        let before = self.findings.len();
        read(self);
        let found = self.findings.split_off(before);
        self.findings.extend(
            found
                .into_iter()
                .filter(|finding| finding.text.contains("unsafe")),
        );
    }

    /// Something unsafe stands at `span`.
    fn unsafe_at(&mut self, span: Span, what: &str, needs_reason: bool) {
        let line = span.start().line;
        if !self.room.allows_unsafe {
            self.find(
                line,
                format!("{what}: only cell, arch, bsp and userspace/rt may"),
            );
        } else if needs_reason && !self.has_reason(line) {
            self.find(line, format!("{what} without a `// SAFETY:` line above it"));
        }
    }

    /// Whether a SAFETY comment stands on the line or in the comment nearest above it.
    fn has_reason(&self, line: usize) -> bool {
        let above = self.lines.iter().take(line).rev();
        let mut code = 0;
        let mut in_comment = false;
        for text in above {
            let text = text.trim_start();
            if text.contains("SAFETY:") {
                return true;
            }
            let comment = text.starts_with("//");
            if in_comment && !comment {
                return false;
            }
            in_comment = comment;
            code += usize::from(!comment);
            if code > REACH {
                return false;
            }
        }
        false
    }

    fn function(&mut self, signature: &syn::Signature, span: Span) {
        let length = span.end().line.saturating_sub(span.start().line) + 1;
        if length > LONG_FUNCTION {
            let text = format!(
                "the function {} has {length} lines; which second thing is it doing?",
                signature.ident
            );
            self.findings
                .push(Finding::advice(self.name, span.start().line, text));
        }
    }

    /// Portable code names no architecture and no board.
    fn word(&mut self, word: &str, line: usize) {
        if self.room.knows_machines {
            return;
        }
        if word == "target_arch" {
            self.find(
                line,
                "target_arch: only arch, bsp and userspace/rt may ask for the architecture",
            );
        } else if self.boards.iter().any(|board| board == word) {
            self.find(
                line,
                format!("'{word}' is a board's name: only bsp may know boards"),
            );
        }
    }

    fn tokens(&mut self, tokens: proc_macro2::TokenStream) {
        for token in tokens {
            match token {
                proc_macro2::TokenTree::Group(group) => self.tokens(group.stream()),
                proc_macro2::TokenTree::Ident(ident) => {
                    self.word(&ident.to_string(), ident.span().start().line)
                }
                proc_macro2::TokenTree::Punct(_) | proc_macro2::TokenTree::Literal(_) => {}
            }
        }
    }
}

/// Whether an item is there for tests only.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    })
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_test(&item.attrs) {
            let span = item.span();
            self.tests += span.end().line.saturating_sub(span.start().line) + 1;
            self.in_tests(|reader| visit::visit_item_mod(reader, item));
            return;
        }
        visit::visit_item_mod(self, item);
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.unsafe_at(block.unsafe_token.span, "an unsafe block", true);
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let Some(token) = &item.unsafety {
            self.unsafe_at(token.span, "an unsafe impl", true);
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if !matches!(signature.safety, syn::Safety::Default) {
            self.unsafe_at(signature.span(), "an unsafe function", false);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if attribute.path().is_ident("unsafe") {
            self.unsafe_at(attribute.span(), "an unsafe attribute", false);
        }
        // Documentation may say what it likes.
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_ident(&mut self, ident: &'ast proc_macro2::Ident) {
        self.word(&ident.to_string(), ident.span().start().line);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, item.block.span());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, item.block.span());
        visit::visit_impl_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::super::rooms::ROOMS;
    use super::*;

    fn check(dir: &str, text: &str) -> Vec<String> {
        let room = ROOMS.iter().find(|room| room.dir == dir).expect("room");
        let findings = read(Path::new("f.rs"), text, room, false, &["virt".to_owned()]);
        findings
            .into_iter()
            .filter(|finding| finding.grave)
            .map(|finding| finding.to_string())
            .collect()
    }

    #[test]
    fn unsafe_block_outside_its_rooms_is_found() {
        let found = check(
            "core",
            "fn f() {\n    // SAFETY: no.\n    unsafe { g() }\n}",
        );
        assert_eq!(
            found,
            ["f.rs:3: an unsafe block: only cell, arch, bsp and userspace/rt may"]
        );
    }

    #[test]
    fn unsafe_block_needs_its_reason() {
        let with = "fn f() {\n    // SAFETY: g is\n    // fine.\n    let x = h(1,\n        unsafe { g() });\n}";
        assert_eq!(check("cell", with), Vec::<String>::new());
        let without = "// SAFETY: too far.\nfn a() {}\n// other\nfn f() {\n    unsafe { g() }\n}";
        assert_eq!(check("cell", without).len(), 1);
        assert_eq!(check("cell", "unsafe impl Send for X {}").len(), 1);
    }

    #[test]
    fn portable_code_knows_no_machine() {
        assert_eq!(
            check("core", "#[cfg(target_arch = \"aarch64\")]\nfn f() {}").len(),
            1
        );
        assert_eq!(
            check("core", "fn f() { if cfg!(target_arch = \"x\") {} }").len(),
            1
        );
        assert_eq!(check("drivers", "fn virt() {}").len(), 1);
        assert_eq!(
            check("arch", "#[cfg(target_arch = \"aarch64\")]\nfn virt() {}"),
            Vec::<String>::new()
        );
        assert_eq!(
            check(
                "core",
                "/// Like virt, or target_arch.\nfn f(virtual_address: u64) {}"
            ),
            Vec::<String>::new()
        );
    }

    #[test]
    fn tests_may_name_boards_but_not_be_unsafe() {
        let text = "#[cfg(test)]\nmod tests {\n    fn virt() {}\n    fn f() { unsafe { g() } }\n}";
        assert_eq!(check("drivers", text).len(), 1);
    }

    #[test]
    fn root_that_forbids_unsafe_is_known() {
        let parse = |text: &str| forbids_unsafe(&syn::parse_file(text).expect("a file"));
        assert!(parse("//! X.\n#![no_std]\n#![forbid(unsafe_code)]\n"));
        assert!(!parse("#![deny(unsafe_code)]\n"));
    }

    #[test]
    fn long_function_is_advice_only() {
        let text = format!("fn f() {{\n{}}}", "    g();\n".repeat(LONG_FUNCTION));
        let room = ROOMS.iter().find(|room| room.dir == "core").expect("room");
        let findings = read(Path::new("f.rs"), &text, room, false, &[]);
        assert!(
            findings
                .iter()
                .any(|finding| !finding.grave && finding.text.contains("the function f"))
        );
    }
}
