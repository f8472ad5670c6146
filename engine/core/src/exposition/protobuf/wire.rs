//! The wire format of protobuf: fields of a message in the order in which they were sent (specification: "Encoding").
//! Nothing is copied or kept; unknown fields are passed over.

/// Why bytes are no message.
pub(super) type WireError = &'static str;

/// One field's value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

/// The fields of a message.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Fields<'a> {
        Fields { rest: message }
    }

    /// The next field's number and value; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = varint(&mut self.rest)?;
        let number = u32::try_from(key >> 3).map_err(|_| "a field number is too large")?;
        if number == 0 {
            return Err("a field has the number 0");
        }
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut self.rest)?),
            1 => Value::Fixed64(fixed64(&mut self.rest)?),
            2 => {
                let len = varint(&mut self.rest)?;
                Value::Bytes(take(&mut self.rest, len)?)
            }
            5 => {
                take(&mut self.rest, 4)?;
                Value::Fixed32
            }
            _ => return Err("a field has an unknown wire type"),
        };
        Ok(Some((number, value)))
    }
}

impl<'a> Value<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], WireError> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err("a field has another wire type than its message says"),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "a text is not valid UTF-8")
    }

    pub(super) fn varint(self) -> Result<u64, WireError> {
        match self {
            Value::Varint(value) => Ok(value),
            _ => Err("a field has another wire type than its message says"),
        }
    }

    pub(super) fn double(self) -> Result<f64, WireError> {
        match self {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err("a field has another wire type than its message says"),
        }
    }

    /// One number of a repeated field, or all of them where they are packed.
    pub(super) fn each_sint(self, mut visit: impl FnMut(i64)) -> Result<(), WireError> {
        match self {
            Value::Varint(value) => visit(zigzag(value)),
            Value::Bytes(mut packed) => {
                while !packed.is_empty() {
                    visit(zigzag(varint(&mut packed)?));
                }
            }
            _ => return Err("a field has another wire type than its message says"),
        }
        Ok(())
    }

    /// The same of floats.
    pub(super) fn each_double(self, mut visit: impl FnMut(f64)) -> Result<(), WireError> {
        match self {
            Value::Fixed64(bits) => visit(f64::from_bits(bits)),
            Value::Bytes(packed) => {
                let (numbers, []) = packed.as_chunks::<8>() else {
                    return Err("packed floats end early");
                };
                numbers
                    .iter()
                    .for_each(|bytes| visit(f64::from_le_bytes(*bytes)));
            }
            _ => return Err("a field has another wire type than its message says"),
        }
        Ok(())
    }
}

/// A signed number of a `sint` field.
pub(super) fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Takes a varint off the front.
#[inline]
pub(super) fn varint(rest: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0u64;
    for (at, &byte) in rest.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if at == 9 && byte > 1 {
            return Err("a number does not fit 64 bits");
        }
        value |= bits << (7 * at);
        if byte < 0x80 {
            *rest = &rest[at + 1..];
            return Ok(value);
        }
    }
    Err("a number ends early")
}

fn fixed64(rest: &mut &[u8]) -> Result<u64, WireError> {
    let (bytes, after) = rest.split_first_chunk::<8>().ok_or("a number ends early")?;
    *rest = after;
    Ok(u64::from_le_bytes(*bytes))
}

/// Takes so many bytes off the front.
pub(super) fn take<'a>(rest: &mut &'a [u8], len: u64) -> Result<&'a [u8], WireError> {
    let len = usize::try_from(len).map_err(|_| "a length is too large")?;
    let (taken, after) = rest
        .split_at_checked(len)
        .ok_or("a message or text ends early")?;
    *rest = after;
    Ok(taken)
}
