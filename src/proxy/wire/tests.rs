//! What the wire reader accepts is what prost reads, and a patch changes one value: against
//! messages made at random, broken ones and hostile ones.

use proptest::prelude::*;
use prost::Message as _;

use super::*;

/// A request as wide as those of the CRI: a string at depth 2, repeated messages, a map, scalars of
/// every wire type.
#[derive(Clone, PartialEq, prost::Message)]
struct Outer {
    #[prost(message, optional, tag = "1")]
    image: Option<Inner>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "3")]
    mounts: Vec<Inner>,
    #[prost(int64, tag = "4")]
    number: i64,
    #[prost(fixed64, tag = "5")]
    eight: u64,
    #[prost(fixed32, tag = "6")]
    four: u32,
    #[prost(map = "string, string", tag = "1000")]
    annotations: std::collections::HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Inner {
    #[prost(string, tag = "1")]
    image: String,
    #[prost(string, repeated, tag = "2")]
    others: Vec<String>,
}

const IMAGE: [FieldStep; 2] = [FieldStep::only(1), FieldStep::only(1)];

fn inner() -> impl Strategy<Value = Inner> {
    (".{0,200}", prop::collection::vec(".{0,5}", 0..3))
        .prop_map(|(image, others)| Inner { image, others })
}

fn outer() -> impl Strategy<Value = Outer> {
    (
        prop::option::of(inner()),
        ".{0,20}",
        prop::collection::vec(inner(), 0..4),
        any::<(i64, u64, u32)>(),
        prop::collection::hash_map(".{0,5}", ".{0,5}", 0..3),
    )
        .prop_map(|(image, name, mounts, (number, eight, four), annotations)| Outer {
            image,
            name,
            mounts,
            number,
            eight,
            four,
            annotations,
        })
}

/// Fields that nobody knows, of every wire type.
const UNKNOWN: &[u8] = &[
    0xf8, 0x07, 0x96, 0x01, 0xfa, 0x07, 2, 1, 2, 0xf9, 0x07, 1, 2, 3, 4, 5, 6, 7, 8, 0xfd, 0x07, 1,
    2, 3, 4,
];

proptest! {
    #[test]
    fn attack_d2_arbitrary_bytes_never_panic_and_prost_agrees(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        agrees(&bytes)?;
    }

    #[test]
    fn attack_d2_broken_messages_are_refused_or_read_as_prost_does(
        message in outer(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = message.encode_to_vec();
        for (at, value) in flips {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
        }
        agrees(&bytes)?;
    }

    #[test]
    fn replacing_changes_that_one_value(message in outer(), new in ".{0,300}", at in 0_usize..4) {
        let bytes = [&message.encode_to_vec(), UNKNOWN].concat();
        let mut expected = message.clone();
        let path = [FieldStep::nth(3, at), FieldStep::only(1)];
        let Some(mount) = expected.mounts.get_mut(at) else {
            prop_assert_eq!(replace(&bytes, &path, new.as_bytes()), Err(WireError::Missing { field: 3 }));
            return Ok(());
        };
        let absent = mount.image.is_empty();
        mount.image.clone_from(&new);
        let patched = put(&bytes, &path, new.as_bytes()).unwrap();
        prop_assert_eq!(string_at(&patched, &path), Ok(Some(new.as_str())));
        prop_assert_eq!(Outer::decode(patched.clone()).unwrap(), expected);
        prop_assert!(patched.ends_with(UNKNOWN));
        if absent {
            prop_assert_eq!(remove(&patched, &path).unwrap(), bytes);
        } else {
            let old = string_at(&bytes, &path).unwrap().unwrap();
            prop_assert_eq!(replace(&patched, &path, old.as_bytes()).unwrap(), bytes);
        }
    }

    #[test]
    fn every_byte_around_the_value_stays(
        before in prop::collection::vec(any::<u8>(), 0..300),
        old in ".{0,200}",
        new in ".{0,200}",
    ) {
        let head = field(7, &before);
        let message = |value: &str| [head.clone(), field(1, &[&head, &field(1, value.as_bytes()), UNKNOWN].concat()), UNKNOWN.to_vec()].concat();
        prop_assert_eq!(replace(&message(&old), &IMAGE, new.as_bytes()).unwrap(), message(&new));
    }

    #[test]
    fn attack_d2_a_field_that_stands_twice_is_refused_where_prost_takes_the_last(message in outer(), other in inner()) {
        let mut bytes = message.encode_to_vec();
        bytes.extend(field(1, &Inner { image: "good".into(), others: Vec::new() }.encode_to_vec()));
        bytes.extend(field(1, &other.encode_to_vec()));
        prop_assert!(Outer::decode(bytes.as_slice()).is_ok());
        prop_assert_eq!(string_at(&bytes, &IMAGE), Err(WireError::Twice { field: 1 }));
        let twice = [field(1, b"good"), field(1, b"bad")].concat();
        let twice = field(1, &twice);
        prop_assert_eq!(string_at(&twice, &IMAGE), Err(WireError::Twice { field: 1 }));
        prop_assert_eq!(replace(&twice, &IMAGE, b"x"), Err(WireError::Twice { field: 1 }));
    }
}

/// Whatever is accepted, prost reads the same string, the same values and the same count.
fn agrees(bytes: &[u8]) -> Result<(), TestCaseError> {
    let decoded = Outer::decode(bytes);
    if let (Ok(read), Ok(decoded)) = (string_at(bytes, &IMAGE), &decoded) {
        prop_assert_eq!(
            read.unwrap_or_default(),
            decoded.image.as_ref().map_or("", |inner| inner.image.as_str())
        );
    }
    if let (Ok(read), Ok(decoded)) = (count(bytes, &[], 3), &decoded) {
        prop_assert_eq!(read, decoded.mounts.len());
    }
    if let (Ok(patched), Ok(decoded)) = (put(bytes, &[FieldStep::only(2)], b"new"), decoded) {
        prop_assert_eq!(Outer::decode(patched).unwrap(), Outer { name: "new".into(), ..decoded });
    }
    Ok(())
}

fn field(number: usize, content: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    put_varint(&mut out, number << 3 | 2);
    put_varint(&mut out, content.len());
    out.put_slice(content);
    out.to_vec()
}

#[test]
fn attack_d2_bytes_that_parsers_read_differently_are_refused() {
    let good = field(1, &field(1, b"good"));
    let with = |tail: &[u8]| string_at(&[&good, tail].concat(), &IMAGE).map(drop);
    assert_eq!(with(&[]), Ok(()));
    assert_eq!(with(&[0x80]), Err(WireError::Truncated));
    assert_eq!(with(&[0x12, 5, 1]), Err(WireError::Truncated));
    assert_eq!(with(&[0x11, 1, 2, 3]), Err(WireError::Truncated));
    assert_eq!(with(&[0x15, 1, 2, 3]), Err(WireError::Truncated));
    assert_eq!(
        with(&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        Err(WireError::Truncated)
    );
    assert_eq!(
        with(&[0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
        Err(WireError::VarintTooLong)
    );
    assert_eq!(with(&[[0x10].as_slice(), &[0xff; 11]].concat()), Err(WireError::VarintTooLong));
    assert_eq!(with(&[0x92, 0, 0]), Err(WireError::NotMinimal), "a key in two bytes");
    assert_eq!(with(&[0x12, 0x80, 0]), Err(WireError::NotMinimal), "a length in two bytes");
    assert_eq!(with(&[0x02, 0]), Err(WireError::FieldNumber), "field 0");
    // 2^32 + 1 as a field number: a parser that keeps 32 bits of it sees field 1.
    assert_eq!(with(&[0x8a, 0x80, 0x80, 0x80, 0x80, 1, 1, b'x']), Err(WireError::FieldNumber));
    for group in [[0x13, 0x14], [0x0b, 0x0c], [0x16, 0], [0x17, 0]] {
        assert_eq!(with(&group), Err(WireError::WireType));
    }
    assert_eq!(
        with(&[0x08, 1]),
        Err(WireError::WrongType { field: 1 }),
        "the field again, as a number"
    );
    assert_eq!(string_at(&field(1, &field(1, &[0xff])), &IMAGE), Err(WireError::NotUtf8));
}

#[test]
fn attack_d1_a_message_of_very_many_fields_is_refused() {
    let mut message = vec![0; 0];
    message.extend([0x10, 0].repeat(FIELD_LIMIT));
    assert_eq!(string_at(&message, &IMAGE), Ok(None));
    message.extend([0x10, 0]);
    assert_eq!(string_at(&message, &IMAGE), Err(WireError::TooManyFields));
}

#[test]
fn what_is_not_there_is_none_or_added() {
    assert_eq!(string_at(&[], &IMAGE), Ok(None));
    assert_eq!(replace(&[], &IMAGE, b"x"), Err(WireError::Missing { field: 1 }));
    assert_eq!(
        put(&[], &IMAGE, b"x"),
        Err(WireError::Missing { field: 1 }),
        "its parent is not there"
    );
    assert_eq!(put(&field(1, &[]), &IMAGE, b"x").unwrap(), field(1, &field(1, b"x")));
    assert_eq!(put(&[], &[FieldStep::nth(3, 0)], b"x"), Err(WireError::Missing { field: 3 }));
    assert_eq!(remove(&field(1, &[]), &IMAGE), Err(WireError::Missing { field: 1 }));
    assert_eq!(count(&[], &[FieldStep::only(1)], 2), Ok(0));
    assert_eq!(string_at(&[], &[]), Err(WireError::Path));
    assert_eq!(string_at(&[], &[FieldStep::only(1); 9]), Err(WireError::Path));
}

#[test]
fn lengths_grow_and_shrink_across_varint_sizes() {
    for old in [0, 1, 127, 128, 16_383, 16_384] {
        for new in [0, 1, 127, 128, 16_383, 16_384, 2_097_152] {
            let message = |size: usize| field(9, &field(1, &field(1, &vec![b'a'; size])));
            let path = [FieldStep::only(9), FieldStep::only(1), FieldStep::only(1)];
            assert_eq!(replace(&message(old), &path, &vec![b'a'; new]).unwrap(), message(new));
        }
    }
}

#[test]
fn remove_takes_the_one_value() {
    let message = [field(3, b"a"), field(2, b"n"), field(3, b"b"), field(3, b"c")].concat();
    assert_eq!(count(&message, &[], 3), Ok(3));
    let left = remove(&message, &[FieldStep::nth(3, 1)]).unwrap();
    assert_eq!(left, [field(3, b"a"), field(2, b"n"), field(3, b"c")].concat());
}
