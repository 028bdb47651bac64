//! The part of the [encoding of protobuf](https://protobuf.dev/programming-guides/encoding/) that
//! spans need.

/// Ways in which a field is written.
const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;

/// A message that is being written.
#[derive(Debug, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0
    }

    /// A number, such as one of an enum.
    pub(crate) fn number(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        self.varint(value);
    }

    /// A number that always takes eight bytes.
    pub(crate) fn fixed(&mut self, field: u32, value: u64) {
        self.tag(field, FIXED_64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Bytes or a text.
    pub(crate) fn delimited(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, LENGTH_DELIMITED);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A message within this one.
    pub(crate) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        self.tag(field, LENGTH_DELIMITED);
        let start = self.0.len();
        write(self);
        let length = self.0.len() - start;
        self.varint(length as u64);
        // The length belongs before what has it.
        let moved = self.0.len() - start - length;
        if let Some(written) = self.0.get_mut(start..) {
            written.rotate_right(moved);
        }
    }

    fn tag(&mut self, field: u32, way: u32) {
        self.varint(u64::from(field << 3 | way));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the documentation of the encoding.
    #[test]
    fn fields_are_written_as_the_documentation_says() {
        let mut message = Message::default();
        message.number(1, 150);
        assert_eq!(message.bytes(), [0x08, 0x96, 0x01]);
        let mut message = Message::default();
        message.delimited(2, b"testing");
        assert_eq!(message.bytes(), *b"\x12\x07testing");
        let mut message = Message::default();
        message.message(3, |inner| inner.number(1, 150));
        assert_eq!(message.bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
    }

    #[test]
    fn a_long_message_has_its_length_before_it() {
        let mut message = Message::default();
        message.message(1, |inner| inner.delimited(1, &[7; 300]));
        let bytes = message.bytes();
        assert_eq!(bytes[..6], [0x0a, 0xaf, 0x02, 0x0a, 0xac, 0x02]);
        assert_eq!(bytes[6..], [7; 300]);
    }

    #[test]
    fn a_fixed_number_is_little_endian() {
        let mut message = Message::default();
        message.fixed(7, 1);
        assert_eq!(message.bytes(), [0x39, 1, 0, 0, 0, 0, 0, 0, 0]);
    }
}
