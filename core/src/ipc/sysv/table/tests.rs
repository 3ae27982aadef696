//! Ids and keys.

use alloc::vec::Vec;

use super::*;

struct Thing(Header);

impl Object for Thing {
    fn header(&self) -> &Header {
        &self.0
    }
}

fn get(table: &Table<Thing>, key: i32, flags: u32) -> Result<i32> {
    let who = Credentials::root();
    let request = Request {
        key,
        flags,
        who: &who,
    };
    let got = table.get(&request, |_| Ok(()), || Ok(Thing(request.header())));
    got.map(|thing| thing.header().id())
}

#[test]
fn key_found_made_and_refused() {
    let table = Table::new(4);
    assert_eq!(get(&table, 7, 0), Err(Errno::ENOENT));
    let id = get(&table, 7, IPC_CREAT).unwrap();
    assert_eq!(get(&table, 7, 0), Ok(id));
    assert_eq!(get(&table, 7, IPC_CREAT | IPC_EXCL), Err(Errno::EEXIST));
    let (one, other) = (get(&table, 0, 0).unwrap(), get(&table, 0, 0).unwrap());
    assert!(one != other && one != id);
    assert_eq!(table.used(), 3);
}

#[test]
fn id_of_what_was_removed_finds_nothing_although_its_place_is_used_again() {
    let table = Table::new(4);
    let mut gone = Vec::new();
    for _ in 0..100 {
        let id = get(&table, 7, IPC_CREAT).unwrap();
        assert!(id >= 0 && !gone.contains(&id));
        assert!(table.remove(id).is_some());
        assert!(table.remove(id).is_none());
        gone.push(id);
        assert!(gone.iter().all(|id| table.find(*id).is_err()));
        assert_eq!(get(&table, 7, 0), Err(Errno::ENOENT));
    }
}

#[test]
fn generations_wrap_around_without_a_negative_id() {
    let table = Table::new(1);
    for _ in 0..70_000 {
        let id = get(&table, 0, 0).unwrap();
        assert!(id >= 0);
        drop(table.remove(id));
    }
}

#[test]
fn full_table_is_enospc_until_something_is_removed() {
    let table = Table::new(3);
    let ids: Vec<i32> = (0..3).map(|_| get(&table, 0, 0).unwrap()).collect();
    assert_eq!(get(&table, 0, 0), Err(Errno::ENOSPC));
    assert_eq!(get(&table, 5, IPC_CREAT), Err(Errno::ENOSPC));
    assert_eq!(get(&table, 5, 0), Err(Errno::ENOENT));
    drop(table.remove(ids[1]));
    assert_eq!(table.highest(), 2);
    let again = get(&table, 5, IPC_CREAT).unwrap();
    assert_eq!(again & 0x7fff, 1);
}

#[test]
fn key_forgotten_may_be_used_anew_and_the_id_still_finds() {
    let table = Table::new(3);
    let id = get(&table, 5, IPC_CREAT).unwrap();
    table.forget_key(id);
    assert!(table.find(id).is_ok());
    assert_eq!(table.find(id).unwrap().header().permission.key(), 0);
    let other = get(&table, 5, IPC_CREAT | IPC_EXCL).unwrap();
    assert_ne!(id, other);
    drop(table.remove(id));
    assert_eq!(get(&table, 5, 0), Ok(other));
}
