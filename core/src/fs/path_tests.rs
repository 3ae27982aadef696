//! Paths: every rule of path_resolution(7) that is kept, an example each.

use std::format;
use std::string::String;

use super::super::directory::Directory;
use super::super::inode::{FileSystemId, Metadata};
use super::super::mount::Kind;
use super::super::testing::{Bench, user};
use super::*;

fn same(one: &Arc<Inode>, other: &Arc<Inode>) -> bool {
    Arc::ptr_eq(one, other)
}

fn tree() -> Bench {
    let bench = Bench::new();
    for path in ["a", "a/b", "a/b/c", "x"] {
        bench.mkdir(path).unwrap();
    }
    bench.mkfile("a/file").unwrap();
    bench
}

#[test]
fn dots_and_slashes_lead_where_they_should() {
    let bench = tree();
    let b = bench.find("/a/b").unwrap();
    for path in [
        "a/b",
        "//a//b//",
        "/../../a/b",
        "a/./b/.",
        "a/b/c/..",
        "x/../a/b/c/../../b",
    ] {
        assert!(same(&bench.find(path).unwrap(), &b), "{path}");
    }
    for path in ["/", "///", ".", "a/..", "..", "/.."] {
        assert!(
            same(&bench.find(path).unwrap(), bench.names.root()),
            "{path}"
        );
    }
}

#[test]
fn parts_that_are_missing_or_no_directory_are_told_apart() {
    let bench = tree();
    for (path, errno) in [
        ("", Errno::ENOENT),
        ("nothing", Errno::ENOENT),
        ("nothing/x", Errno::ENOENT),
        ("a/nothing/..", Errno::ENOENT),
        ("a/file/x", Errno::ENOTDIR),
        ("a/file/", Errno::ENOTDIR),
        ("a/file/.", Errno::ENOTDIR),
        ("a/file/..", Errno::ENOTDIR),
    ] {
        assert_eq!(bench.find(path).err(), Some(errno), "{path}");
    }
}

#[test]
fn names_and_links_have_their_greatest_length() {
    let bench = Bench::new();
    let (longest, longer) = ("n".repeat(255), "n".repeat(256));
    assert!(bench.mkdir(&longest).is_ok());
    assert!(bench.find(&longest).is_ok());
    assert_eq!(bench.mkdir(&longer).err(), Some(Errno::ENAMETOOLONG));
    assert_eq!(bench.find(&longer).err(), Some(Errno::ENAMETOOLONG));
    assert_eq!(
        bench.find(&format!("{longer}/x")).err(),
        Some(Errno::ENAMETOOLONG)
    );
}

#[test]
fn links_are_followed_in_the_middle_always_and_at_the_end_if_asked() {
    let bench = tree();
    bench.symlink("a/b", "link").unwrap();
    bench.symlink("../link", "x/far").unwrap();
    bench.symlink("/a/file", "absolute").unwrap();
    let b = bench.find("a/b").unwrap();
    assert!(same(&bench.find("link").unwrap(), &b));
    assert!(same(&bench.find("x/far/c/..").unwrap(), &b));
    assert!(same(&bench.lfind("link/").unwrap(), &b));
    assert!(bench.lfind("link").unwrap().is_link());
    assert!(same(
        &bench.find("absolute").unwrap(),
        &bench.find("a/file").unwrap()
    ));
    assert_eq!(bench.find("absolute/").err(), Some(Errno::ENOTDIR));
}

#[test]
fn links_in_a_circle_or_more_than_forty_are_eloop() {
    let bench = Bench::new();
    bench.symlink("two", "one").unwrap();
    bench.symlink("one", "two").unwrap();
    assert_eq!(bench.find("one").err(), Some(Errno::ELOOP));
    assert!(bench.lfind("one").is_ok());
    bench.mkdir("end").unwrap();
    bench.symlink("end", "l1").unwrap();
    for n in 2..=41 {
        bench
            .symlink(&format!("l{}", n - 1), &format!("l{n}"))
            .unwrap();
    }
    assert!(bench.find("l40").is_ok());
    assert_eq!(bench.find("l41").err(), Some(Errno::ELOOP));
}

#[test]
fn dangling_link_leads_to_the_name_that_may_be_made() {
    let bench = tree();
    bench.symlink("a/b/new", "link").unwrap();
    let found = bench.walker().walk(b"link".to_vec(), Last::Follow).unwrap();
    assert!(found.inode.is_none());
    assert_eq!(found.name(), Some(&b"new"[..]));
    assert!(same(&found.directory, &bench.find("a/b").unwrap()));
    assert_eq!(bench.mkdir("link/").err(), Some(Errno::EEXIST));
}

#[test]
fn search_needs_the_right_of_the_first_class_that_fits() {
    let mut bench = tree();
    let a = bench.find("a").unwrap();
    let may = |bench: &mut Bench, mode: u32, owner: u32, group: u32| {
        a.update(|it| (it.permissions, it.uid, it.gid) = (mode, owner, group));
        bench.who = user(5);
        let outcome = bench.find("a/b").map(|_| ());
        bench.who = Credentials::root();
        outcome
    };
    assert_eq!(may(&mut bench, 0o100, 5, 1), Ok(()));
    assert_eq!(may(&mut bench, 0o677, 5, 5), Err(Errno::EACCES));
    assert_eq!(may(&mut bench, 0o010, 1, 5), Ok(()));
    assert_eq!(may(&mut bench, 0o010, 1, 100), Ok(()));
    assert_eq!(may(&mut bench, 0o707, 1, 100), Err(Errno::EACCES));
    assert_eq!(may(&mut bench, 0o001, 1, 1), Ok(()));
    assert_eq!(may(&mut bench, 0o770, 1, 1), Err(Errno::EACCES));
    assert!(bench.find("a/b").is_ok(), "root searches everything");
}

#[test]
fn path_of_a_directory_follows_it() {
    let bench = tree();
    let c = bench.find("a/b/c").unwrap();
    assert_eq!(bench.path_of(&c), Ok(String::from("/a/b/c")));
    bench.rename("a/b", "x/y").unwrap();
    assert_eq!(bench.path_of(&c), Ok(String::from("/x/y/c")));
    assert_eq!(bench.path_of(bench.names.root()), Ok(String::from("/")));
    bench.rmdir("x/y/c").unwrap();
    assert_eq!(bench.path_of(&c), Err(Errno::ENOENT));
}

fn new_root() -> Arc<Inode> {
    let metadata = Metadata::new(0o755, 0, 0, 0);
    Arc::new(Inode::new(
        FileSystemId::next(),
        Node::Directory(Directory::root()),
        metadata,
    ))
}

#[test]
fn mount_covers_a_directory_until_it_is_taken_away() {
    let mut bench = tree();
    let (b, root) = (bench.find("a/b").unwrap(), new_root());
    bench.names.mount(&b, Arc::clone(&root), Kind::Ram).unwrap();
    assert!(same(&bench.find("a/b").unwrap(), &root));
    assert_eq!(bench.find("a/b/c").err(), Some(Errno::ENOENT));
    assert!(same(
        &bench.find("a/b/..").unwrap(),
        &bench.find("a").unwrap()
    ));
    let inside = bench.mkdir("a/b/inside").unwrap();
    assert_eq!(bench.path_of(&inside), Ok(String::from("/a/b/inside")));
    assert_eq!(bench.rename("a/b/inside", "x/inside"), Err(Errno::EXDEV));
    assert_eq!(bench.link("a/file", "a/b/file"), Err(Errno::EXDEV));
    assert_eq!(bench.rename("a/b", "x/b"), Err(Errno::EBUSY));
    assert_eq!(bench.rmdir("a/b"), Err(Errno::EBUSY));
    bench.start = Arc::clone(&root);
    assert_eq!(bench.names.unmount(&root, false), Err(Errno::EBUSY));
    bench.start = Arc::clone(bench.names.root());
    assert_eq!(bench.names.unmount(&inside, false), Err(Errno::EINVAL));
    assert_eq!(bench.names.unmount(&root, false), Ok(()));
    assert!(same(&bench.find("a/b").unwrap(), &b));
    assert_eq!(
        bench
            .path_of(&inside)
            .map(|path| path.starts_with("(unreachable)")),
        Ok(true)
    );
}

#[test]
fn mounts_stack_and_come_off_from_the_top() {
    let bench = tree();
    let (first, second, nested) = (new_root(), new_root(), new_root());
    bench
        .names
        .mount(&bench.find("a").unwrap(), Arc::clone(&first), Kind::Ram)
        .unwrap();
    bench
        .names
        .mount(&bench.find("a").unwrap(), Arc::clone(&second), Kind::Ram)
        .unwrap();
    bench.mkdir("a/d").unwrap();
    bench
        .names
        .mount(&bench.find("a/d").unwrap(), Arc::clone(&nested), Kind::Ram)
        .unwrap();
    assert!(same(&bench.find("a/d/../..").unwrap(), bench.names.root()));
    assert_eq!(bench.path_of(&nested), Ok(String::from("/a/d")));
    assert_eq!(bench.names.unmount(&second, false), Err(Errno::EBUSY));
    assert_eq!(bench.names.unmount(&nested, false), Ok(()));
    assert_eq!(bench.names.unmount(&second, false), Ok(()));
    assert!(same(&bench.find("a").unwrap(), &first));
}

#[test]
fn lazy_unmounting_takes_what_is_mounted_inside_with_it() {
    let mut bench = tree();
    let (outer, inner, innermost, beside) = (new_root(), new_root(), new_root(), new_root());
    for (path, root) in [("a/b", &outer), ("x", &beside)] {
        let covered = bench.find(path).unwrap();
        bench
            .names
            .mount(&covered, Arc::clone(root), Kind::Ram)
            .unwrap();
    }
    for (path, root) in [("a/b/d", &inner), ("a/b/d/e", &innermost)] {
        let covered = bench.mkdir(path).unwrap();
        bench
            .names
            .mount(&covered, Arc::clone(root), Kind::Ram)
            .unwrap();
    }
    // Somebody is in it.
    bench.start = Arc::clone(&innermost);
    assert_eq!(bench.names.unmount(&outer, true), Ok(()));
    let mut left = Vec::new();
    bench
        .names
        .for_each_mount(|mount| left.push(Arc::clone(&mount.root)));
    assert_eq!(left.len(), 1);
    assert!(left.iter().all(|root| same(root, &beside)));
    // The directory that was covered is there again, and what was inside has no way up.
    bench.start = Arc::clone(bench.names.root());
    assert!(bench.find("a/b/c").is_ok());
    for gone in [&outer, &inner, &innermost] {
        assert!(matches!(gone.above(), Above::Top));
        assert_eq!(bench.names.unmount(gone, true), Err(Errno::EINVAL));
    }
}
