//! Archives, good and bad: examples, random trees, every truncation, random damage.

use std::collections::BTreeMap;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::super::testing::Bench;
use super::*;

/// Writes archives.
#[derive(Default)]
struct Archive(Vec<u8>);

#[derive(Clone, Copy)]
struct Head {
    number: u32,
    mode: u32,
    links: u32,
    device: (u32, u32),
}

impl Head {
    fn of(mode: u32) -> Head {
        Head {
            number: 0,
            mode,
            links: 1,
            device: (0, 0),
        }
    }
}

impl Archive {
    fn align(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn add(&mut self, head: Head, name: &str, data: &[u8]) -> &mut Archive {
        let Head {
            number,
            mode,
            links,
            device: (major, minor),
        } = head;
        let fields = [
            number,
            mode,
            11,
            22,
            links,
            33,
            data.len() as u32,
            0,
            0,
            major,
            minor,
            name.len() as u32 + 1,
            0,
        ];
        self.0.extend_from_slice(MAGIC);
        fields
            .iter()
            .for_each(|field| self.0.extend(std::format!("{field:08x}").bytes()));
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(0);
        self.align();
        self.0.extend_from_slice(data);
        self.align();
        self
    }

    fn file(&mut self, name: &str, data: &[u8]) -> &mut Archive {
        self.add(Head::of(S_IFREG | 0o644), name, data)
    }

    fn directory(&mut self, name: &str) -> &mut Archive {
        self.add(Head::of(S_IFDIR | 0o755), name, &[])
    }

    fn end(&mut self) -> Vec<u8> {
        self.add(Head::of(0), "TRAILER!!!", &[]);
        core::mem::take(&mut self.0)
    }
}

fn unpacked(bench: &Bench, archive: &[u8]) -> core::result::Result<usize, (usize, String)> {
    unpack(&bench.names, bench.memory, archive).map_err(|bad| (bad.offset, bad.to_string()))
}

#[test]
fn archive_with_every_kind_becomes_a_tree() {
    let bench = Bench::new();
    let mut archive = Archive::default();
    archive
        .directory(".")
        .directory("./bin")
        .file("bin/sh", b"#!");
    archive.add(Head::of(S_IFLNK | 0o777), "/etc", b"bin");
    archive.add(
        Head {
            device: (1, 3),
            ..Head::of(S_IFCHR | 0o666)
        },
        "null",
        &[],
    );
    archive.add(Head::of(S_IFIFO | 0o600), "pipe", &[]);
    assert_eq!(unpacked(&bench, &archive.end()), Ok(6));
    assert_eq!(bench.contents("/etc/sh"), Ok(b"#!".to_vec()));
    let metadata = bench.find("bin/sh").unwrap().metadata();
    assert_eq!(
        (metadata.permissions, metadata.uid, metadata.gid),
        (0o644, 11, 22)
    );
    assert_eq!(metadata.modified, 33 * NANOS_PER_SECOND);
    assert!(matches!(
        bench.find("null").unwrap().node,
        Node::Device(DeviceNumber { major: 1, minor: 3 })
    ));
}

#[test]
fn hard_links_share_the_bytes_that_any_of_them_brings() {
    let bench = Bench::new();
    let head = Head {
        number: 7,
        links: 3,
        ..Head::of(S_IFREG | 0o644)
    };
    let mut archive = Archive::default();
    archive
        .add(head, "a", &[])
        .add(head, "b", b"bytes")
        .add(head, "c", &[]);
    let first = archive.end();
    // The same number in another archive is another file.
    let second = Archive::default().add(head, "d", b"other").end();
    assert_eq!(unpacked(&bench, &[first, second].concat()), Ok(4));
    for name in ["a", "b", "c"] {
        assert_eq!(bench.contents(name), Ok(b"bytes".to_vec()));
        assert_eq!(bench.find(name).unwrap().metadata().links, 3);
    }
    assert_eq!(bench.contents("d"), Ok(b"other".to_vec()));
}

#[test]
fn entry_that_cannot_be_made_is_named_and_passed_over() {
    let bench = Bench::new();
    let mut archive = Archive::default();
    archive
        .file("a", b"1")
        .file("no/such", b"2")
        .file("b", b"3")
        .add(Head::of(0o060_000), "ram", &[]);
    let (_, text) = unpacked(&bench, &archive.end()).unwrap_err();
    assert_eq!(
        text,
        "initramfs: entry 1 at byte 116 (\"no/such\"): cannot be made: ENOENT: no such file or directory"
    );
    assert_eq!(bench.tree(), ["/a file 1", "/b file 1"]);
}

#[test]
fn later_entry_replaces_a_file_but_not_a_directory() {
    let bench = Bench::new();
    let mut archive = Archive::default();
    archive
        .file("a", b"old")
        .file("a", b"new")
        .directory("d")
        .file("d/x", b"")
        .directory("d")
        .file("d", b"");
    let (_, text) = unpacked(&bench, &archive.end()).unwrap_err();
    assert!(text.contains("EISDIR"), "{text}");
    assert_eq!(bench.contents("a"), Ok(b"new".to_vec()));
    assert_eq!(bench.tree(), ["/a file 1", "/d dir 2", "/d/x file 1"]);
}

#[test]
fn names_with_dots_stay_below_the_root() {
    let bench = Bench::new();
    let archive = Archive::default().file("../../x", b"1").end();
    assert_eq!(unpacked(&bench, &archive), Ok(1));
    assert_eq!(bench.tree(), ["/x file 1"]);
}

#[test]
fn padding_behind_and_before_an_archive_is_passed_over() {
    let bench = Bench::new();
    let mut archive = std::vec![0; 512];
    archive.extend(Archive::default().file("x", b"1").end());
    archive.resize(archive.len() + 1000, 0);
    assert_eq!(unpacked(&bench, &archive), Ok(1));
    assert_eq!(unpacked(&bench, &[]), Ok(0));
    assert!(
        unpacked(&bench, b"\x1f\x8b compressed")
            .unwrap_err()
            .1
            .contains("070701")
    );
}

#[test]
fn header_fields_at_their_limits_are_errors() {
    let bench = Bench::new();
    let archive = Archive::default().file("x", b"1").end();
    let with = |field: usize, digits: &[u8; 8]| {
        let mut bad = archive.clone();
        bad[6 + field * 8..14 + field * 8].copy_from_slice(digits);
        unpacked(&bench, &bad).unwrap_err().1
    };
    assert!(with(6, b"ffffffff").contains("ends in the middle"));
    assert!(with(11, b"ffffffff").contains("name"));
    assert!(with(11, b"00000000").contains("name"));
    assert!(with(11, b"00000001").contains("name"));
    assert!(with(0, b"0000000g").contains("hexadecimal"));
    assert!(with(1, b"        ").contains("hexadecimal"));
}

/// A random tree: names of files and directories, in an order in which they can be made.
fn tree() -> impl Strategy<Value = BTreeMap<String, Option<Vec<u8>>>> {
    let name = "[a-c]{1,2}(/[a-c]{1,2}){0,3}";
    prop::collection::btree_map(
        name,
        prop::option::of(prop::collection::vec(any::<u8>(), 0..9000)),
        0..12,
    )
    .prop_map(|mut tree| {
        let files: Vec<String> = tree
            .iter()
            .filter(|(_, data)| data.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        let below_file = |name: &str| {
            files
                .iter()
                .any(|file| name.starts_with(&std::format!("{file}/")))
        };
        tree.retain(|name, _| !below_file(name));
        for name in tree.keys().cloned().collect::<Vec<_>>() {
            for (at, _) in name.match_indices('/') {
                tree.entry(name[..at].to_string()).or_insert(None);
            }
        }
        tree
    })
}

fn archive_of(tree: &BTreeMap<String, Option<Vec<u8>>>) -> Vec<u8> {
    let mut archive = Archive::default();
    for (name, data) in tree {
        match data {
            Some(data) => archive.file(name, data),
            None => archive.directory(name),
        };
    }
    archive.end()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn tree_packed_and_unpacked_is_the_same(tree in tree()) {
        let bench = Bench::new();
        prop_assert_eq!(unpacked(&bench, &archive_of(&tree)), Ok(tree.len()));
        prop_assert_eq!(bench.tree().len(), tree.len());
        for (name, data) in &tree {
            match data {
                Some(data) => prop_assert_eq!(bench.contents(name), Ok(data.clone())),
                None => prop_assert!(bench.find(name).unwrap().is_directory()),
            }
        }
    }

    #[test]
    fn archive_cut_off_keeps_what_came_before(tree in tree(), at in any::<prop::sample::Index>()) {
        let bench = Bench::new();
        let archive = archive_of(&tree);
        let kept = at.index(archive.len());
        let outcome = unpacked(&bench, &archive[..kept]);
        // The last header and name end three bytes before the archive does.
        prop_assert_eq!(outcome.is_ok(), kept == 0 || kept + 3 >= archive.len());
        for line in bench.tree() {
            let name = line[1..].split(' ').next().unwrap();
            if let Some(data) = &tree[name] {
                prop_assert_eq!(bench.contents(name), Ok(data.clone()));
            }
        }
    }

    #[test]
    fn archive_damaged_never_panics(
        tree in tree(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let bench = Bench::new();
        let mut archive = archive_of(&tree);
        for (at, byte) in damage {
            let at = at.index(archive.len());
            archive[at] = byte;
        }
        let _ = unpacked(&bench, &archive);
        let _ = bench.tree();
    }
}
