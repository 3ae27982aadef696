//! Where in the source an address of the kernel is, by its ELF file; and which build that file is.

use std::fs;
use std::path::{Path, PathBuf};

use addr2line::Loader;
use anyhow::{Context, Result, anyhow};
use object::Object;

use super::log::Texts;
use super::records::Knowledge;

/// A kernel's ELF file.
pub(crate) struct Places {
    loader: Loader,
    /// The file.
    pub(crate) path: PathBuf,
    /// Its build id in hexadecimal, if it has one.
    pub(crate) build: Option<String>,
    /// How far above its own addresses it runs: 0 for a kernel.
    pub(crate) base: u64,
}

impl Places {
    /// Reads it. Error: it is no ELF file, or has no lines.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let build = build(&bytes, path)?;
        let loader = Loader::new(path)
            .map_err(|error| anyhow!("{} has no lines: {error}", path.display()))?;
        Ok(Self {
            loader,
            build,
            path: path.to_owned(),
            base: 0,
        })
    }

    /// What the file knows of the kernel's log. Error: it is no ELF file.
    pub(crate) fn knowledge(path: &Path) -> Result<Knowledge> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Knowledge {
            path: path.to_owned(),
            build: build(&bytes, path)?,
            texts: Texts::read(&bytes).map_err(|error| format!("{error:#}")),
        })
    }

    /// File and line of the code at an address, outermost function first where functions were inlined.
    pub(crate) fn of(&self, address: u64) -> Vec<String> {
        let mut places = Vec::new();
        let Ok(mut frames) = self.loader.find_frames(address.wrapping_sub(self.base)) else {
            return places;
        };
        while let Ok(Some(frame)) = frames.next() {
            let name = frame
                .function
                .as_ref()
                .and_then(|name| Some(name.demangle().ok()?.into_owned()));
            if let Some(place) = frame
                .location
                .and_then(|place| Some(format!("{}:{}", place.file?, place.line?)))
            {
                places.push(match name {
                    Some(name) => format!("{place} in {name}"),
                    None => place,
                });
            }
        }
        places
    }
}

/// The build id of an ELF file's bytes.
fn build(bytes: &[u8], path: &Path) -> Result<Option<String>> {
    let file =
        object::File::parse(bytes).with_context(|| format!("{} is no ELF file", path.display()))?;
    let id = file.build_id()?;
    Ok(id.map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect()))
}

#[cfg(test)]
pub(crate) mod tests {
    use object::ObjectSymbol;

    use super::*;

    /// Where this test program has `Places::read`, by its file.
    pub(crate) fn own_address() -> u64 {
        let path = std::env::current_exe().expect("this program");
        let bytes = fs::read(&path).expect("bytes");
        let file = object::File::parse(&*bytes).expect("an ELF file");
        let mut symbols = file.symbols();
        let symbol = symbols.find(|symbol| {
            let name = symbol.name().unwrap_or_default();
            name.contains("monitor")
                && name.contains("places")
                && name.contains("Places")
                && name.contains("read")
        });
        symbol.expect("Places::read has a symbol").address()
    }

    #[test]
    fn function_is_found_by_its_address() {
        let path = std::env::current_exe().expect("this program");
        let places = Places::read(&path).expect("lines").of(own_address());
        assert!(
            places
                .iter()
                .any(|place| place.contains("places.rs:") && place.contains("Places::read")),
            "{places:?}"
        );
    }

    #[test]
    fn file_that_is_no_elf_file_is_refused() {
        let place = tempfile::NamedTempFile::new().expect("file");
        let why = Places::read(place.path()).err().expect("refusal");
        assert!(why.to_string().contains("no ELF file"), "{why:#}");
    }
}
