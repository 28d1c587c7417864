//! Pickles that numpy wrote: `{"data": uint8 [2, 6], "labels": [1, 1000], "mean": float64 [2]}` in every binary protocol.

use super::*;

/// Protocol 2.
const PROTOCOL_2: &[u8] = b"\
    \x80\x02}q\x00(X\x04\x00\x00\x00dataq\x01cnumpy._core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\
    \x00\x85q\x04c_codecs\nencode\nq\x05X\x01\x00\x00\x00bq\x06X\x06\x00\x00\x00latin1q\x07\x86q\x08Rq\x09\x87q\nR\
    q\x0b(K\x01K\x02K\x06\x86q\x0ccnumpy\ndtype\nq\x0dX\x02\x00\x00\x00u1q\x0e\x89\x88\x87q\x0fRq\x10(K\x03X\x01\
    \x00\x00\x00|q\x11NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x12b\x89h\x05X\x12\x00\x00\x00\x00\x17.E\\s\xc2\
    \x8a\xc2\xa1\xc2\xb8\xc3\x8f\xc3\xa6\xc3\xbdq\x13h\x07\x86q\x14Rq\x15tq\x16bX\x06\x00\x00\x00labelsq\x17]q\x18\
    (K\x01M\xe8\x03eX\x04\x00\x00\x00meanq\x19h\x02h\x03K\x00\x85q\x1ah\x09\x87q\x1bRq\x1c(K\x01K\x02\x85q\x1dh\
    \x0dX\x02\x00\x00\x00f8q\x1e\x89\x88\x87q\x1fRq (K\x03X\x01\x00\x00\x00<q!NNNJ\xff\xff\xff\xffJ\xff\xff\xff\
    \xffK\x00tq\"b\x89h\x05X\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00q#h\
    \x07\x86q$Rq%tq&bu.";

/// Protocol 3.
const PROTOCOL_3: &[u8] = b"\
    \x80\x03}q\x00(X\x04\x00\x00\x00dataq\x01cnumpy._core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\
    \x00\x85q\x04C\x01bq\x05\x87q\x06Rq\x07(K\x01K\x02K\x06\x86q\x08cnumpy\ndtype\nq\x09X\x02\x00\x00\x00u1q\n\x89\
    \x88\x87q\x0bRq\x0c(K\x03X\x01\x00\x00\x00|q\x0dNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89C\x0c\x00\
    \x17.E\\s\x8a\xa1\xb8\xcf\xe6\xfdq\x0ftq\x10bX\x06\x00\x00\x00labelsq\x11]q\x12(K\x01M\xe8\x03eX\x04\x00\x00\
    \x00meanq\x13h\x02h\x03K\x00\x85q\x14h\x05\x87q\x15Rq\x16(K\x01K\x02\x85q\x17h\x09X\x02\x00\x00\x00f8q\x18\x89\
    \x88\x87q\x19Rq\x1a(K\x03X\x01\x00\x00\x00<q\x1bNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x1cb\x89C\x10\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00q\x1dtq\x1ebu.";

/// Protocol 4.
const PROTOCOL_4: &[u8] = b"\
    \x80\x04\x95\x0d\x01\x00\x00\x00\x00\x00\x00}\x94(\x8c\x04data\x94\x8c\x16numpy._core.multiarray\x94\x8c\x0c_r\
    econstruct\x94\x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01K\
    \x02K\x06\x86\x94h\x05\x8c\x05dtype\x94\x93\x94\x8c\x02u1\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\
    \xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94b\x89C\x0c\x00\x17.E\\s\x8a\xa1\xb8\xcf\xe6\xfd\x94t\x94b\x8c\x06labels\
    \x94]\x94(K\x01M\xe8\x03e\x8c\x04mean\x94h\x04h\x07K\x00\x85\x94h\x09\x87\x94R\x94(K\x01K\x02\x85\x94h\x0e\x8c\
    \x02f8\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01<\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94b\x89C\x10\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x94t\x94bu.";

/// Protocol 5.
const PROTOCOL_5: &[u8] = b"\
    \x80\x05\x95\xf3\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x04data\x94\x8c\x13numpy._core.numeric\x94\x8c\x0b_from\
    buffer\x94\x93\x94(\x96\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x17.E\\s\x8a\xa1\xb8\xcf\xe6\xfd\x94\x8c\x05numpy\
    \x94\x8c\x05dtype\x94\x93\x94\x8c\x02u1\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\
    \xff\xff\xffK\x00t\x94bK\x02K\x06\x86\x94\x8c\x01C\x94t\x94R\x94\x8c\x06labels\x94]\x94(K\x01M\xe8\x03e\x8c\
    \x04mean\x94h\x04(\x96\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x94h\x08\x8c\x02f8\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01<\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\
    \x00t\x94bK\x02\x85\x94h\x0ft\x94R\x94u.";

const PICKLES: [&[u8]; 4] = [PROTOCOL_2, PROTOCOL_3, PROTOCOL_4, PROTOCOL_5];

#[test]
fn dictionaries_of_every_protocol_are_read() {
    for pickle in PICKLES {
        let found = Dictionary::parse(pickle).expect("a dictionary");
        let data = found.array("data").expect("an array");
        assert_eq!((data.shape.as_slice(), data.is_bytes()), ([2usize, 6].as_slice(), true));
        assert_eq!(*data.bytes, (0..12u8).map(|i| i.wrapping_mul(23)).collect::<Vec<_>>());
        assert_eq!(found.numbers("labels").expect("labels"), [1, 1000]);
        assert_eq!(found.numbers("data").expect("numbers")[1], 23);
        assert!(found.numbers("mean").expect_err("fractions").contains("type <f8"));
        assert_eq!(found.array("none").expect_err("no key"), "no none");
        assert!(found.array("labels").is_err());
    }
}

#[test]
fn numbers_are_read_as_text_and_as_numpys_own() {
    let found = Dictionary::parse(b"}(X\x06\x00\x00\x00labels(I7\nI01\nL-3L\nlX\x04\x00\x00\x00meanF1.5\nu.");
    assert_eq!(found.expect("a dictionary").numbers("labels").expect("numbers"), [7, 1, -3]);
    let scalar = b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(X\x02\x00\x00\x00i2I00\nI01\ntR(K\x03X\x01\x00\x00\x00<tbC\x02\x05\x01tR";
    let pickle = [b"}X\x06\x00\x00\x00labels(".as_slice(), scalar, b"ls."].concat();
    assert_eq!(Dictionary::parse(&pickle).expect("a dictionary").numbers("labels").expect("numbers"), [261]);
    assert!(Dictionary::parse(b"}Iseven\n.").expect_err("refused").contains("number \"seven\""));
    assert!(Dictionary::parse(b"(dp0\n.").expect_err("refused").contains("protocol=2 or newer"));
}

#[test]
fn cut_and_changed_pickles_never_panic() {
    for pickle in PICKLES {
        for length in 0..pickle.len() {
            assert!(Dictionary::parse(&pickle[..length]).is_err(), "cut to {length} bytes");
        }
        for place in 0..pickle.len() {
            for value in [0, b'(', b'R', b'b', b'h', 0x85, 0x94, 255] {
                let mut changed = pickle.to_vec();
                changed[place] = value;
                if let Ok(found) = Dictionary::parse(&changed) {
                    let _ = (found.array("data"), found.numbers("labels"));
                }
            }
        }
    }
}

#[test]
fn nested_recursive_and_hostile_pickles_are_refused_or_harmless() {
    let text = |bytes: &[u8]| Dictionary::parse(bytes).expect_err("refused");
    assert!(text(b"].").contains("something else than a dictionary"));
    assert!(text(b"cos\nsystem\n(S'ls'\ntR.").contains("instruction 'S'"));
    assert!(text(&vec![b']'; NODES + 1]).contains("values"));
    let mut recalls = b"]q\x00".to_vec();
    recalls.extend(b"h\x00".repeat(NODES + 1));
    assert!(text(&recalls).contains("values"));
    // A list in a list, a million deep, and a dictionary that holds itself.
    let deep =
        [b"}X\x04\x00\x00\x00data".to_vec(), vec![b']'; 1_000_000], vec![b'a'; 999_999], b"s.".to_vec()].concat();
    assert!(Dictionary::parse(&deep).expect("a dictionary").array("data").is_err());
    let recursive = Dictionary::parse(b"}q\x00X\x04\x00\x00\x00datah\x00s.").expect("a dictionary");
    assert!(recursive.array("data").is_err());
}
