//! Futexes over a table of their own: keys, wakes, requeues.

use super::table::{Place, Table};
use super::*;
use crate::Errno;

const ONE: Key = Key::Private(0x1000, 0x40);
const OTHER: Key = Key::Private(0x1000, 0x80);

fn enter(table: &Table<()>, key: Key, bitset: u32) -> Place<'_, ()> {
    table.enter(key, bitset, None, || Ok(true)).ok().unwrap()
}

fn woken(place: &Place<'_, ()>) -> bool {
    place.waiter().is_woken()
}

#[test]
fn enter_with_a_changed_word_is_eagain_and_leaves_nobody() {
    let table = Table::<()>::new();
    assert_eq!(
        table.enter(ONE, ANY, None, || Ok(false)).err(),
        Some(Errno::EAGAIN)
    );
    assert_eq!(table.wake(&ONE, 1, ANY), Ok(0));
}

#[test]
fn wake_reaches_the_first_waiter_of_its_word_alone() {
    let table = Table::new();
    let places = [
        enter(&table, OTHER, ANY),
        enter(&table, ONE, ANY),
        enter(&table, ONE, ANY),
    ];
    assert_eq!(table.wake(&ONE, 1, ANY), Ok(1));
    assert_eq!(places.each_ref().map(woken), [false, true, false]);
}

#[test]
fn wake_passes_over_waiters_whose_bitset_differs() {
    let table = Table::new();
    let places = [enter(&table, ONE, 1), enter(&table, ONE, 2)];
    assert_eq!(table.wake(&ONE, 9, 2), Ok(1));
    assert_eq!(places.each_ref().map(woken), [false, true]);
}

#[test]
fn place_given_up_is_not_woken() {
    let table = Table::new();
    drop(enter(&table, ONE, ANY));
    assert_eq!(table.wake(&ONE, 1, ANY), Ok(0));
}

#[test]
fn requeue_wakes_some_and_moves_others() {
    let table = Table::new();
    let places = [
        enter(&table, ONE, ANY),
        enter(&table, ONE, ANY),
        enter(&table, ONE, ANY),
    ];
    assert_eq!(table.requeue(&ONE, &OTHER, 1, 1, || Ok(true)), Ok((1, 1)));
    assert_eq!(table.wake(&OTHER, 9, ANY), Ok(1));
    assert_eq!(places.each_ref().map(woken), [true, true, false]);
}

#[test]
fn moved_place_given_up_leaves_its_new_word() {
    let table = Table::new();
    let place = enter(&table, ONE, ANY);
    assert_eq!(table.requeue(&ONE, &OTHER, 0, 1, || Ok(true)), Ok((0, 1)));
    drop(place);
    assert_eq!(table.wake(&OTHER, 1, ANY), Ok(0));
}

#[test]
fn wake_and_requeue_refuse_who_waits_for_a_lock() {
    let table = Table::new();
    let place = table.enter(ONE, ANY, Some(()), || Ok(true)).ok().unwrap();
    assert_eq!(table.wake(&ONE, 1, ANY), Err(Errno::EINVAL));
    assert_eq!(
        table.requeue(&ONE, &OTHER, 0, 1, || Ok(true)),
        Err(Errno::EINVAL)
    );
    assert!(!woken(&place));
}
