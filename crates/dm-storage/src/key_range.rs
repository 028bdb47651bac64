//! Ranges of keys that begin alike.

/// The first key behind all that begin with `prefix`; `None` where there is no such key.
pub(crate) fn first_behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    *end.last_mut()? += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::first_behind;

    #[test]
    fn the_end_of_a_prefix_is_the_next_key_of_its_length_or_less() {
        assert_eq!(first_behind(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(first_behind(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(first_behind(b"\xff\xff"), None);
        assert_eq!(first_behind(b""), None);
    }

    proptest! {
        #[test]
        fn keys_with_a_prefix_are_those_before_its_end(prefix in proptest::collection::vec(250_u8.., 0..4), key in proptest::collection::vec(250_u8.., 0..6)) {
            let is_before = first_behind(&prefix).is_none_or(|end| key < end);
            prop_assert_eq!(key.starts_with(&prefix), key >= prefix && is_before);
        }
    }
}
