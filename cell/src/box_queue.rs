//! A first-in, first-out queue of boxes whose links are in the boxed values: queueing allocates nothing and cannot fail.
//!
//! No unsafe code and no tail pointer: what is pushed at the back lies on a stack of its own, which is turned over when
//! the front has run out. So every operation takes constant time on average; a single pop takes as long as the back stack is
//! deep (a few instructions an element, and each element is turned over once).

use alloc::boxed::Box;

/// A value that carries a link for one [`BoxQueue`].
pub trait Linked: Sized {
    /// The link. Always the same field, None whenever the value is in no queue. A link that lies loses elements; it
    /// cannot break memory safety.
    fn link(&mut self) -> &mut Option<Box<Self>>;
}

/// A queue of boxes.
pub struct BoxQueue<T: Linked> {
    /// Oldest on top.
    front: Option<Box<T>>,
    /// Youngest on top; all younger than `front`.
    back: Option<Box<T>>,
}

impl<T: Linked> BoxQueue<T> {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            front: None,
            back: None,
        }
    }

    /// Whether nothing is queued.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.front.is_none() && self.back.is_none()
    }

    /// Adds `value` behind all others.
    #[inline]
    pub fn push_back(&mut self, value: Box<T>) {
        let stack = if self.is_empty() {
            &mut self.front
        } else {
            &mut self.back
        };
        push(stack, value);
    }

    /// Adds `value` before all others.
    #[inline]
    pub fn push_front(&mut self, value: Box<T>) {
        push(&mut self.front, value);
    }

    /// Takes the first.
    #[inline]
    pub fn pop_front(&mut self) -> Option<Box<T>> {
        if self.front.is_none() {
            self.turn_over();
        }
        pop(&mut self.front)
    }

    /// Takes the first for which `matches` holds, leaving the order of the others. Visits every element.
    pub fn remove_first(&mut self, mut matches: impl FnMut(&T) -> bool) -> Option<Box<T>> {
        let mut kept = Self::new();
        let mut found = None;
        while let Some(value) = self.pop_front() {
            if found.is_none() && matches(&value) {
                found = Some(value);
            } else {
                kept.push_back(value);
            }
        }
        *self = kept;
        found
    }

    fn turn_over(&mut self) {
        while let Some(value) = pop(&mut self.back) {
            push(&mut self.front, value);
        }
    }
}

#[inline]
fn push<T: Linked>(stack: &mut Option<Box<T>>, mut value: Box<T>) {
    *value.link() = stack.take();
    *stack = Some(value);
}

#[inline]
fn pop<T: Linked>(stack: &mut Option<Box<T>>) -> Option<Box<T>> {
    let mut value = stack.take()?;
    *stack = value.link().take();
    Some(value)
}

impl<T: Linked> Default for BoxQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Linked> Drop for BoxQueue<T> {
    /// One by one: dropping the chain as a whole would recurse as deep as it is long.
    fn drop(&mut self) {
        while self.pop_front().is_some() {}
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use alloc::collections::VecDeque;

    use super::*;

    struct Item(u32, Option<Box<Item>>);

    impl Linked for Item {
        fn link(&mut self) -> &mut Option<Box<Item>> {
            &mut self.1
        }
    }

    fn item(n: u32) -> Box<Item> {
        Box::new(Item(n, None))
    }

    fn pop(queue: &mut BoxQueue<Item>) -> Option<u32> {
        queue.pop_front().map(|item| {
            assert!(item.1.is_none(), "a popped element must not carry a link");
            item.0
        })
    }

    #[test]
    fn queue_keeps_first_in_first_out() {
        let mut queue = BoxQueue::new();
        assert!(queue.is_empty());
        for n in 0..3 {
            queue.push_back(item(n));
        }
        assert_eq!(pop(&mut queue), Some(0));
        queue.push_back(item(3));
        queue.push_front(item(9));
        let rest: [_; 5] = core::array::from_fn(|_| pop(&mut queue));
        assert_eq!(rest, [Some(9), Some(1), Some(2), Some(3), None]);
    }

    #[test]
    fn queue_remove_first_takes_one_and_keeps_order() {
        let mut queue = BoxQueue::new();
        for n in [1, 2, 3, 2] {
            queue.push_back(item(n));
        }
        assert_eq!(
            queue.remove_first(|item| item.0 == 2).map(|item| item.0),
            Some(2)
        );
        assert!(queue.remove_first(|item| item.0 == 8).is_none());
        let rest: [_; 4] = core::array::from_fn(|_| pop(&mut queue));
        assert_eq!(rest, [Some(1), Some(3), Some(2), None]);
    }

    #[test]
    fn queue_agrees_with_a_deque_over_many_steps() {
        let mut queue = BoxQueue::new();
        let mut model = VecDeque::new();
        let mut state = 0x9e37_79b9_u32;
        for n in 0..20_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match state >> 29 {
                0..=2 => {
                    queue.push_back(item(n));
                    model.push_back(n);
                }
                3 => {
                    queue.push_front(item(n));
                    model.push_front(n);
                }
                _ => assert_eq!(pop(&mut queue), model.pop_front()),
            }
            assert_eq!(queue.is_empty(), model.is_empty());
        }
    }

    #[test]
    fn queue_dropped_when_long_does_not_recurse() {
        let mut queue = BoxQueue::new();
        for n in 0..1_000_000 {
            queue.push_back(item(n));
        }
        drop(queue);
    }
}
