//! Descriptor tables: their rules, and random sequences against a plain map.

use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::super::file::File;
use super::super::open_file::OpenFlags;
use super::*;

struct Nothing;
impl File for Nothing {}

fn open() -> Arc<OpenFile> {
    OpenFile::new(Arc::new(Nothing), OpenFlags::empty()).unwrap()
}

#[test]
fn insert_beyond_the_limit_is_emfile_and_closes_the_file() {
    let table = DescriptorTable::new();
    let file = open();
    assert_eq!(table.insert(Arc::clone(&file), 0, 1, false), Ok(0));
    assert_eq!(
        table.insert(Arc::clone(&file), 0, 1, false),
        Err(Errno::EMFILE)
    );
    assert_eq!(
        table.insert_pair([open(), open()], 2, false),
        Err(Errno::EMFILE)
    );
    assert_eq!(Arc::strong_count(&file), 2);
    assert_eq!(table.insert(open(), 0, usize::MAX, false), Ok(1));
}

#[test]
fn negative_descriptors_are_ebadf_everywhere() {
    let table = DescriptorTable::new();
    table.insert(open(), 0, 10, false).unwrap();
    for fd in [-1, i32::MIN, 1, 4096, i32::MAX] {
        assert_eq!(table.get(fd).err(), Some(Errno::EBADF));
        assert_eq!(table.close(fd), Err(Errno::EBADF));
        assert_eq!(table.close_on_exec(fd), Err(Errno::EBADF));
        assert_eq!(table.replace(fd, 3, 10, false), Err(Errno::EBADF));
    }
    assert_eq!(table.replace(0, -1, 10, false), Err(Errno::EBADF));
    assert_eq!(table.replace(0, 10, 10, false), Err(Errno::EBADF));
}

#[test]
fn exec_closes_what_is_marked_and_fork_keeps_it() {
    let table = DescriptorTable::new();
    table.insert_pair([open(), open()], 10, true).unwrap();
    table.insert(open(), 0, 10, false).unwrap();
    assert_eq!(table.fork().unwrap().close_on_exec(0), Ok(true));
    let executed = table.for_exec().unwrap();
    assert_eq!(executed.next_from(0).map(|(fd, _)| fd), Some(2));
    assert_eq!(executed.insert(open(), 0, 10, false), Ok(0));
}

#[test]
fn table_full_has_no_free_descriptor() {
    let table = DescriptorTable::new();
    let file = open();
    for fd in 0..DESCRIPTORS_MAX {
        assert_eq!(
            table.insert(Arc::clone(&file), 0, usize::MAX, false),
            Ok(fd as i32)
        );
    }
    assert_eq!(
        table.insert(Arc::clone(&file), 0, usize::MAX, false),
        Err(Errno::EMFILE)
    );
    table.close(4095).unwrap();
    assert_eq!(
        table.insert(Arc::clone(&file), 77, usize::MAX, false),
        Ok(4095)
    );
    table.close_range(0, u32::MAX);
    assert_eq!(Arc::strong_count(&file), 1);
}

#[test]
fn exec_keeps_the_tables_number_unless_another_process_uses_the_table() {
    let table = Arc::new(DescriptorTable::new());
    let number = table.owner();
    let (first, second) = (
        TableUse::new(Arc::clone(&table)),
        TableUse::new(Arc::clone(&table)),
    );
    // Somebody reads /proc/PID/fd, and tasks that are ending still have it.
    let readers = [Arc::clone(&table), Arc::clone(&table)];
    let heir = table.for_exec().unwrap();
    first.succeed(&heir);
    assert_ne!(heir.owner(), number);
    let heir = table.for_exec().unwrap();
    second.succeed(&heir);
    assert_eq!(heir.owner(), number);
    drop(readers);
}

#[derive(Clone, Debug)]
enum Step {
    Insert(usize, bool),
    Pair(bool),
    Replace(i32, i32, bool),
    Close(i32),
    CloseRange(u32, u32, bool),
    Exec,
}

fn step() -> impl Strategy<Value = Step> {
    let fd = || prop_oneof![0..12i32, 60..70i32, 126..131i32];
    prop_oneof![
        4 => (prop_oneof![0..3usize, 60..70usize], any::<bool>()).prop_map(|(least, mark)| Step::Insert(least, mark)),
        2 => any::<bool>().prop_map(Step::Pair),
        3 => (fd(), fd(), any::<bool>()).prop_map(|(from, to, mark)| Step::Replace(from, to, mark)),
        3 => fd().prop_map(Step::Close),
        1 => (fd(), fd(), any::<bool>()).prop_map(|(first, last, mark)| Step::CloseRange(first as u32, last as u32, mark)),
        1 => Just(Step::Exec),
    ]
}

const LIMIT: usize = 130;

#[derive(Default)]
struct Model(BTreeMap<i32, (*const OpenFile, bool)>);

impl Model {
    fn free(&self, least: usize) -> Option<i32> {
        (least as i32..LIMIT as i32).find(|fd| !self.0.contains_key(fd))
    }

    fn insert(&mut self, file: &Arc<OpenFile>, least: usize, mark: bool) -> Option<i32> {
        let fd = self.free(least)?;
        self.0.insert(fd, (Arc::as_ptr(file), mark));
        Some(fd)
    }
}

fn apply(table: &mut Arc<DescriptorTable>, model: &mut Model, step: Step) {
    match step {
        Step::Insert(least, mark) => {
            let file = open();
            let expected = model.insert(&file, least, mark);
            assert_eq!(table.insert(file, least, LIMIT, mark).ok(), expected);
        }
        Step::Pair(mark) => {
            let files = [open(), open()];
            let first = model.insert(&files[0], 0, mark);
            let second = model.insert(&files[1], 0, mark);
            if let (Some(first), None) = (first, second) {
                model.0.remove(&first);
            }
            assert_eq!(
                table.insert_pair(files, LIMIT, mark).ok(),
                first.zip(second).map(Into::into)
            );
        }
        Step::Replace(from, to, mark) => {
            let known = model
                .0
                .get(&from)
                .filter(|_| (to as usize) < LIMIT)
                .copied();
            assert_eq!(
                table.replace(from, to, LIMIT, mark).is_ok(),
                known.is_some()
            );
            known.map(|(file, _)| model.0.insert(to, (file, mark)));
        }
        Step::Close(fd) => assert_eq!(table.close(fd).is_ok(), model.0.remove(&fd).is_some()),
        Step::CloseRange(first, last, mark) => {
            if mark {
                table.mark_range(first, last);
            } else {
                table.close_range(first, last);
            }
            let within = |fd: &i32| (first..=last).contains(&(*fd as u32));
            model
                .0
                .iter_mut()
                .filter(|(fd, _)| mark && within(fd))
                .for_each(|(_, (_, marked))| *marked = true);
            model.0.retain(|fd, _| mark || !within(fd));
        }
        Step::Exec => {
            *table = table.for_exec().unwrap();
            model.0.retain(|_, (_, mark)| !*mark);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn table_does_what_a_map_does(steps in prop::collection::vec(step(), 1..200)) {
        let (mut table, mut model) = (Arc::new(DescriptorTable::new()), Model::default());
        for step in steps {
            apply(&mut table, &mut model, step);
            let mut listed = Vec::new();
            let mut from = 0;
            while let Some((fd, file)) = table.next_from(from) {
                listed.push((fd, (Arc::as_ptr(&file), table.close_on_exec(fd).unwrap())));
                from = fd + 1;
            }
            prop_assert_eq!(&listed, &model.0.iter().map(|(fd, slot)| (*fd, *slot)).collect::<Vec<_>>());
        }
    }
}
