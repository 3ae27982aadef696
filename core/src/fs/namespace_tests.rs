//! Changes of names: examples, and random ones against the file system of the machine that tests run on, a Linux.

use std::fs;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec::Vec;
use std::{env, format, io, process};

use proptest::prelude::*;

use super::super::testing::{Bench, user};
use super::*;

fn tree() -> Bench {
    let bench = Bench::new();
    for path in ["a", "a/b", "a/b/c", "x", "x/full", "x/full/y", "x/empty"] {
        bench.mkdir(path).unwrap();
    }
    for path in ["a/file", "x/file"] {
        bench.mkfile(path).unwrap();
    }
    bench
}

fn links(bench: &Bench, path: &str) -> u32 {
    bench.lfind(path).unwrap().metadata().links
}

#[test]
fn rename_into_itself_or_onto_what_it_is_in_is_refused() {
    let bench = tree();
    assert_eq!(bench.rename("a", "a/b/new"), Err(Errno::EINVAL));
    assert_eq!(bench.rename("a", "a/b"), Err(Errno::EINVAL));
    assert_eq!(bench.rename("a/b", "a"), Err(Errno::ENOTEMPTY));
    assert_eq!(bench.rename("a/file", "a"), Err(Errno::ENOTEMPTY));
    assert_eq!(bench.rename("a", "a"), Ok(()));
}

#[test]
fn rename_exchanges_and_keeps_as_its_flags_say() {
    let bench = tree();
    let exchange = |from, to| bench.rename_as(from, to, RenameKind::Exchange);
    let keep = |from, to| bench.rename_as(from, to, RenameKind::Keep);
    assert_eq!(keep("a/file", "x/file"), Err(Errno::EEXIST));
    assert_eq!(keep("a/file", "x/."), Err(Errno::EEXIST));
    assert_eq!(keep("a/file", "x/new"), Ok(()));
    assert_eq!(exchange("x/new", "x/nothing"), Err(Errno::ENOENT));
    assert_eq!(exchange("a", "a/b"), Err(Errno::EINVAL));
    assert_eq!(exchange("a/b", "a"), Err(Errno::EINVAL));
    assert_eq!((links(&bench, "a"), links(&bench, "x")), (3, 4));
    assert_eq!(exchange("a/b", "x/new"), Ok(()));
    assert!(bench.find("x/new/c").is_ok() && !bench.find("a/b").unwrap().is_directory());
    assert_eq!((links(&bench, "a"), links(&bench, "x")), (2, 5));
    assert_eq!(
        bench.path_of(&bench.find("x/new/c").unwrap()),
        Ok(String::from("/x/new/c"))
    );
}

#[test]
fn rename_over_a_file_frees_it_when_nobody_has_it_open() {
    let bench = tree();
    let old = bench.find("x/file").unwrap();
    let weak = Arc::downgrade(&old);
    bench.rename("a/file", "x/file").unwrap();
    assert_eq!(old.metadata().links, 0);
    drop(old);
    assert!(weak.upgrade().is_none());
}

#[test]
fn sticky_directory_lets_owners_alone_remove() {
    let mut bench = tree();
    let (x, file) = (bench.find("x").unwrap(), bench.find("x/file").unwrap());
    x.update(|it| it.permissions = 0o1777);
    file.update(|it| it.uid = 6);
    bench.who = user(5);
    assert_eq!(bench.unlink("x/file"), Err(Errno::EPERM));
    assert_eq!(bench.rename("x/file", "x/mine"), Err(Errno::EPERM));
    assert_eq!(bench.mkfile("x/mine").map(|it| it.metadata().uid), Ok(5));
    assert_eq!(bench.rename("x/mine", "x/file"), Err(Errno::EPERM));
    assert_eq!(bench.unlink("x/mine"), Ok(()));
    x.update(|it| it.uid = 5);
    assert_eq!(bench.unlink("x/file"), Ok(()));
}

#[test]
fn names_need_write_and_search_of_their_directory() {
    let mut bench = tree();
    bench.find("x").unwrap().update(|it| it.permissions = 0o755);
    bench.find("a").unwrap().update(|it| it.permissions = 0o777);
    bench.who = user(5);
    for outcome in [
        bench.mkdir("x/new").map(|_| ()),
        bench.unlink("x/file"),
        bench.rmdir("x/empty"),
        bench.rename("a/file", "x/new"),
        bench.rename("x/file", "a/new"),
        bench.link("a/file", "x/new"),
        // Moving a directory changes its `..`, which is not this user's.
        bench.mkdir("a/mine").and(bench.rename("a/b", "a/mine/b")),
    ] {
        assert_eq!(outcome, Err(Errno::EACCES));
    }
    assert_eq!(bench.rename("a/b", "a/b2"), Ok(()));
}

#[test]
fn set_group_id_of_a_directory_is_inherited() {
    let mut bench = tree();
    bench
        .find("a")
        .unwrap()
        .update(|it| (it.permissions, it.gid) = (0o2777, 42));
    bench.who = user(5);
    let (file, directory) = (bench.mkfile("a/f").unwrap(), bench.mkdir("a/d").unwrap());
    assert_eq!(
        (file.metadata().gid, file.metadata().permissions),
        (42, 0o644)
    );
    assert_eq!(
        (directory.metadata().gid, directory.metadata().permissions),
        (42, 0o2755)
    );
}

#[test]
fn file_unlinked_while_open_stays_until_closed_and_takes_no_new_name() {
    let bench = tree();
    let file = bench.open("a/file").unwrap();
    crate::fs::file::File::try_write(&file, &mut &b"bytes"[..], 0).unwrap();
    let inode = bench.find("a/file").unwrap();
    let place = bench.place("a/again").unwrap();
    bench.unlink("a/file").unwrap();
    let mut room = [0; 8];
    assert_eq!(
        crate::fs::file::File::try_read(&file, &mut &mut room[..], 0),
        Ok(5)
    );
    assert_eq!(
        bench.names.link(&inode, &place, &bench.who, 0),
        Err(Errno::ENOENT)
    );
}

#[test]
fn directory_removed_under_somebody_takes_no_names() {
    let mut bench = tree();
    bench.start = bench.find("x/empty").unwrap();
    let place = bench.place("new").unwrap();
    bench.rmdir("/x/empty").unwrap();
    assert_eq!(bench.mkdir("other").err(), Some(Errno::ENOENT));
    assert_eq!(bench.rename("/a/file", "moved"), Err(Errno::ENOENT));
    assert!(place.inode.is_none());
    assert!(Arc::ptr_eq(
        &bench.find("..").unwrap(),
        &bench.find("/x").unwrap()
    ));
}

/// A step on names.
#[derive(Clone, Debug)]
enum Step {
    MakeDirectory(String),
    MakeFile(String),
    MakeLink(String, String),
    Link(String, String),
    Unlink(String),
    RemoveDirectory(String),
    Rename(String, String),
    Look(String),
}

/// Paths of up to four parts. `..` goes up four times at most, which the two trees are deep enough for.
fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => prop::sample::select(&["a", "b", "c"][..]),
        2 => prop::sample::select(&["l", "m"][..]),
        1 => Just("."),
        1 => Just(".."),
    ];
    let tail = prop_oneof![6 => Just(""), 1 => Just("/"), 1 => Just("//")];
    (prop::collection::vec(part, 1..5), tail).prop_map(|(parts, tail)| parts.join("/") + tail)
}

/// The text of a link: without `..`, so that a chain of them does not leave the tree.
fn text() -> impl Strategy<Value = String> {
    let part = prop::sample::select(&["a", "b", "c", "l", "m", "."][..]);
    prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"))
}

fn step() -> impl Strategy<Value = Step> {
    let link = prop_oneof![Just("l"), Just("m"), Just("a/l"), Just("b/m")];
    prop_oneof![
        6 => path().prop_map(Step::MakeDirectory),
        3 => path().prop_map(Step::MakeFile),
        1 => (text(), path()).prop_map(|(text, path)| Step::MakeLink(text, path)),
        2 => (text(), link).prop_map(|(text, path)| Step::MakeLink(text, path.to_string())),
        2 => (path(), path()).prop_map(|(from, to)| Step::Link(from, to)),
        2 => path().prop_map(Step::Unlink),
        2 => path().prop_map(Step::RemoveDirectory),
        5 => (path(), path()).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => path().prop_map(Step::Look),
    ]
}

fn ours(bench: &Bench, step: &Step) -> core::result::Result<(), i32> {
    let outcome = match step {
        Step::MakeDirectory(path) => bench.mkdir(path).map(|_| ()),
        Step::MakeFile(path) => make_file(bench, path),
        Step::MakeLink(text, path) => bench.symlink(text, path).map(|_| ()),
        Step::Link(from, to) => bench.link(from, to),
        Step::Unlink(path) => bench.unlink(path),
        Step::RemoveDirectory(path) => bench.rmdir(path),
        Step::Rename(from, to) => bench.rename(from, to),
        Step::Look(path) => bench.find(path).and(bench.lfind(path)).map(|_| ()),
    };
    outcome.map_err(|errno| i32::from(errno.code()))
}

/// open(2) with O_CREAT and O_EXCL.
fn make_file(bench: &Bench, path: &str) -> Result<()> {
    let at = bench.place(path)?;
    at.check_file_name()?;
    if at.inode.is_some() {
        return Err(Errno::EEXIST);
    }
    bench.mkfile(path).map(|_| ())
}

fn theirs(base: &Path, step: &Step) -> core::result::Result<(), i32> {
    // Joined as text: a Path would take off the slashes at the end.
    let at = |path: &str| PathBuf::from(format!("{}/{path}", base.display()));
    let outcome = match step {
        Step::MakeDirectory(path) => fs::create_dir(at(path)),
        Step::MakeFile(path) => fs::File::create_new(at(path)).map(|_| ()),
        Step::MakeLink(text, path) => std::os::unix::fs::symlink(text, at(path)),
        Step::Link(from, to) => fs::hard_link(at(from), at(to)),
        Step::Unlink(path) => fs::remove_file(at(path)),
        Step::RemoveDirectory(path) => fs::remove_dir(at(path)),
        Step::Rename(from, to) => fs::rename(at(from), at(to)),
        Step::Look(path) => fs::metadata(at(path))
            .and(fs::symlink_metadata(at(path)))
            .map(|_| ()),
    };
    outcome.map_err(|error| error.raw_os_error().unwrap_or(0))
}

/// What is below `base`: a line for each path, as [`Bench::tree`] has them.
fn listing(base: &Path, path: &str, lines: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(base)? {
        let entry = entry?;
        let path = format!("{path}/{}", entry.file_name().to_string_lossy());
        let metadata = entry.metadata()?;
        if metadata.is_symlink() {
            lines.push(format!(
                "{path} -> {}",
                fs::read_link(entry.path())?.display()
            ));
        } else if metadata.is_dir() {
            lines.push(format!("{path} dir"));
            listing(&entry.path(), &path, lines)?;
        } else {
            lines.push(format!(
                "{path} file {}",
                std::os::unix::fs::MetadataExt::nlink(&metadata)
            ));
        }
    }
    Ok(())
}

/// Some file systems do not count the names of directories.
fn without_directory_links(lines: Vec<String>) -> Vec<String> {
    let plain = |line: String| match line.rsplit_once(" dir ") {
        Some((path, _)) => format!("{path} dir"),
        None => line,
    };
    lines.into_iter().map(plain).collect()
}

/// The directories that both trees begin with, so that `..` stays within.
const DEEP: [&str; 4] = ["1", "1/2", "1/2/3", "1/2/3/4"];

struct Host(PathBuf);

impl Host {
    fn new() -> Host {
        use core::sync::atomic::AtomicU32;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        let base = env::temp_dir().join(format!("halyard-names-{}-{number}", process::id()));
        fs::create_dir_all(base.join(DEEP[3])).unwrap();
        Host(base)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Every directory's link count is two and one for each directory in it.
fn check_link_counts(bench: &Bench) {
    let lines = bench.tree();
    for line in &lines {
        let Some((path, count)) = line.rsplit_once(" dir ") else {
            continue;
        };
        let below = |other: &&String| {
            let other = other.rsplit_once(" dir ").map(|(other, _)| other);
            other
                .and_then(|other| other.rsplit_once('/'))
                .is_some_and(|(parent, _)| parent == path)
        };
        assert_eq!(
            count.parse(),
            Ok(2 + lines.iter().filter(below).count()),
            "{line}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    #[cfg_attr(not(target_os = "linux"), ignore)]
    fn names_change_as_linux_changes_them(steps in prop::collection::vec(step(), 1..80)) {
        let (mut bench, host) = (Bench::new(), Host::new());
        for path in DEEP {
            bench.mkdir(path).unwrap();
        }
        bench.start = bench.find(DEEP[3]).unwrap();
        let base = host.0.join(DEEP[3]);
        for step in steps {
            prop_assert_eq!(ours(&bench, &step), theirs(&base, &step), "{:?}", step);
        }
        let mut expected = Vec::new();
        listing(&host.0, "", &mut expected).unwrap();
        expected.sort();
        prop_assert_eq!(without_directory_links(bench.tree()), expected);
        check_link_counts(&bench);
    }
}
