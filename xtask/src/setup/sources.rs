//! Reads where apt gets packages from, and writes the one source file that is ours: Debian's backports.
//!
//! Both of apt's formats are understood: one-line (`*.list`) and deb822 (`*.sources`). Source: sources.list(5).

use std::path::Path;

/// The file that xtask may write, and no other.
pub(crate) const OWN_FILE: &str = "/etc/apt/sources.list.d/halyard-backports.sources";

/// One place apt gets binary packages from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Source {
    /// Mirrors.
    pub(crate) uris: Vec<String>,
    /// Suites, such as `bookworm`.
    pub(crate) suites: Vec<String>,
    /// Components, such as `main`.
    pub(crate) components: Vec<String>,
    /// The key the mirror signs with, where the source names one.
    pub(crate) signed_by: Option<String>,
}

/// Every source below `/etc/apt`.
pub(crate) fn read(apt: &Path) -> Vec<Source> {
    let parts = std::fs::read_dir(apt.join("sources.list.d"));
    let mut files: Vec<_> = parts
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files.insert(0, apt.join("sources.list"));
    let mut sources = Vec::new();
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(parse_list(&text)),
            Some("sources") => sources.extend(parse_deb822(&text)),
            _ => {}
        }
    }
    sources
}

/// Reads `deb [options] uri suite component...` lines.
pub(crate) fn parse_list(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_list_line).collect()
}

fn parse_list_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => ("", rest),
    };
    let signed_by = options
        .split_whitespace()
        .find_map(|option| option.strip_prefix("signed-by="));
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: signed_by.map(str::to_owned),
    })
}

/// Reads deb822 stanzas. Disabled ones and those of source packages only are left out.
pub(crate) fn parse_deb822(text: &str) -> Vec<Source> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let stanzas = lines.split(|line| line.trim().is_empty());
    stanzas.filter_map(parse_stanza).collect()
}

fn parse_stanza(lines: &[&str]) -> Option<Source> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines {
        if line.starts_with([' ', '\t']) {
            let (_, value) = fields.last_mut()?;
            value.push('\n');
            value.push_str(line.trim());
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let field = |wanted: &str| {
        fields
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
    };
    let words = |name: &str| -> Vec<String> {
        field(name)
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    };
    let enabled = !field("enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"));
    let source = Source {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        // A key may be spelt out in the file; such a block cannot be copied as a path.
        signed_by: field("signed-by")
            .filter(|key| key.starts_with('/'))
            .map(str::to_owned),
    };
    let usable = enabled && words("types").iter().any(|kind| kind == "deb");
    (usable && !source.uris.is_empty() && !source.suites.is_empty()).then_some(source)
}

/// Whether some source offers that suite.
pub(crate) fn offers(sources: &[Source], suite: &str) -> bool {
    sources
        .iter()
        .any(|source| source.suites.iter().any(|name| name == suite))
}

/// A source for the release's backports: the same mirror and key as the release itself. None: no source has the release.
pub(crate) fn backports(sources: &[Source], codename: &str) -> Option<Source> {
    let release = sources
        .iter()
        .find(|source| source.suites.iter().any(|suite| suite == codename))?;
    Some(Source {
        uris: release.uris.clone(),
        suites: vec![format!("{codename}-backports")],
        components: vec!["main".into()],
        signed_by: release.signed_by.clone(),
    })
}

/// The source as a deb822 stanza.
pub(crate) fn to_deb822(source: &Source) -> String {
    let mut text = format!(
        "Types: deb\nURIs: {}\nSuites: {}\nComponents: {}\n",
        source.uris.join(" "),
        source.suites.join(" "),
        source.components.join(" ")
    );
    if let Some(key) = &source.signed_by {
        text.push_str(&format!("Signed-By: {key}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "Types: deb\n# a remark in between\nURIs: http://mirror/debian\nSuites: bookworm \
        bookworm-updates\nComponents: main\nSigned-By: /usr/share/keyrings/k.gpg\n\nTypes: deb-src\nURIs: http://x\n\
        Suites: s\n\nTypes: deb\nEnabled: no\nURIs: http://off\nSuites: off\n";

    #[test]
    fn deb822_gives_enabled_binary_sources() {
        let sources = parse_deb822(DEB822);
        assert_eq!(sources.len(), 1);
        assert_eq!(sources[0].suites, ["bookworm", "bookworm-updates"]);
        assert_eq!(
            sources[0].signed_by.as_deref(),
            Some("/usr/share/keyrings/k.gpg")
        );
    }

    #[test]
    fn deb822_continued_field_is_one_field() {
        let sources = parse_deb822(
            "Types: deb\nURIs: http://a\n http://b\nSuites: s\nSigned-By:\n -----BEGIN\n .\n",
        );
        assert_eq!(sources[0].uris, ["http://a", "http://b"]);
        assert_eq!(sources[0].signed_by, None);
    }

    #[test]
    fn list_with_options_and_remark_is_read() {
        let text = "# no\ndeb [arch=amd64 signed-by=/k.gpg] http://m/debian bookworm main contrib # yes\ndeb-src http://m s c\n";
        let sources = parse_list(text);
        assert_eq!(sources.len(), 1);
        assert_eq!(sources[0].components, ["main", "contrib"]);
        assert_eq!(sources[0].signed_by.as_deref(), Some("/k.gpg"));
    }

    #[test]
    fn list_line_cut_short_is_passed_over() {
        assert_eq!(
            parse_list("deb http://m\ndebian http://m s\ndeb [open http://m s\n"),
            []
        );
    }

    #[test]
    fn backports_come_from_the_mirror_of_the_release() {
        let sources = parse_deb822(DEB822);
        let source = backports(&sources, "bookworm").expect("bookworm is there");
        let text = "Types: deb\nURIs: http://mirror/debian\nSuites: bookworm-backports\nComponents: main\n\
            Signed-By: /usr/share/keyrings/k.gpg\n";
        assert_eq!(to_deb822(&source), text);
        assert_eq!(parse_deb822(text), [source]);
        assert_eq!(backports(&sources, "trixie"), None);
        assert!(!offers(&sources, "bookworm-backports"));
    }
}
