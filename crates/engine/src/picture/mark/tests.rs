use proptest::prelude::*;

use super::*;

const TRAINED: &str = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";

fn boxed(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap();
    [&length.to_be_bytes(), &name[..], body].concat()
}

fn superbox(label: &str, inside: &[Vec<u8>]) -> Vec<u8> {
    let description = [&[0_u8; 16][..], &[3], label.as_bytes(), &[0]].concat();
    boxed(b"jumb", &[boxed(b"jumd", &description), inside.concat()].concat())
}

fn cbor_text(text: &str) -> Vec<u8> {
    let length = text.len();
    let head = if length < 24 { vec![0x60 + length as u8] } else { vec![0x78, length as u8] };
    [head, text.as_bytes().to_vec()].concat()
}

fn manifest(generator: &str, source: &str, organization: &str) -> Vec<u8> {
    let texts = |all: &[&str]| boxed(b"cbor", &all.iter().flat_map(|t| cbor_text(t)).collect::<Vec<_>>());
    let attribute = |number: u8, text: &str| {
        let value = [&[0x06, 3, 0x55, 4, number, 0x0c, text.len() as u8][..], text.as_bytes()].concat();
        [&[0x30, value.len() as u8][..], &value].concat()
    };
    let name = |organization: &str| {
        let all = [attribute(0x0a, organization), attribute(3, "a name")].concat();
        [&[0x30, all.len() as u8][..], &all].concat()
    };
    let validity =
        [&[0x30, 0x1e, 0x17, 0x0d][..], b"260101000000Z", &[0x17, 0x0d], b"270101000000Z"].concat();
    let certificate = [name("Some Authority"), validity, name(organization)].concat();
    superbox(
        "urn:c2pa:1",
        &[
            superbox(
                "c2pa.assertions",
                &[superbox("c2pa.actions.v2", &[texts(&["digitalSourceType", source])])],
            ),
            superbox("c2pa.claim.v2", &[texts(&["claim_generator_info", "name", generator])]),
            superbox("c2pa.signature", &[boxed(b"cbor", &certificate)]),
        ],
    )
}

fn store() -> Vec<u8> {
    superbox(
        "c2pa",
        &[
            manifest("an ingredient", "https://x.example/other", "Other"),
            manifest("Painter 3", TRAINED, "Acme Ltd"),
        ],
    )
}

fn png(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let chunk = |name: &[u8; 4], data: &[u8]| {
        [&u32::try_from(data.len()).unwrap().to_be_bytes(), &name[..], data, &[0; 4]].concat()
    };
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    chunks.iter().for_each(|(name, data)| file.extend(chunk(name, data)));
    file.extend(chunk(b"IEND", b""));
    file
}

fn jpeg(segments: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut file = vec![0xff, 0xd8];
    for (marker, data) in segments {
        file.extend([0xff, *marker]);
        file.extend(u16::try_from(data.len() + 2).unwrap().to_be_bytes());
        file.extend(data);
    }
    file.extend([0xff, 0xd9]);
    file
}

fn webp(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (name, data) in chunks {
        body.extend(*name);
        body.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        body.extend(data);
        body.extend(vec![0; data.len() % 2]);
    }
    [b"RIFF", &u32::try_from(body.len()).unwrap().to_le_bytes()[..], &body].concat()
}

/// A box in several segments, each with its head.
fn app11(boxes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let piece = |n: usize, data: &[u8]| {
        (0xeb, [b"JP\0\x01", &(n as u32).to_be_bytes()[..], &boxes[..8], data].concat())
    };
    boxes[8..].chunks(300).enumerate().map(|(n, data)| piece(n + 1, data)).collect()
}

#[test]
fn a_manifest_is_found_in_every_kind_of_file_and_the_active_one_is_told() {
    let gif = {
        let blocks: Vec<u8> =
            store().chunks(255).flat_map(|block| [&[block.len() as u8][..], block].concat()).collect();
        [b"GIF89a\x01\0\x01\0\0\0\0\x21\xff\x0bC2PA_GIF\x01\0\0", &blocks[..], b"\0\x3b"].concat()
    };
    for file in [png(&[(b"caBX", store())]), jpeg(&app11(&store())), webp(&[(b"C2PA", store())]), gif] {
        let marks = marks(&file);
        let expected =
            Credentials { claim_generator: Some("Painter 3".into()), signer: Some("Acme Ltd".into()) };
        assert_eq!(marks.credentials, Some(expected));
        assert_eq!(marks.digital_source_type.as_deref(), Some(TRAINED));
    }
}

#[test]
fn the_source_type_is_found_in_xmp_however_it_is_written() {
    let packet = |inside: &str| {
        format!("<x:xmpmeta><rdf:Description {inside}</rdf:Description></x:xmpmeta>").into_bytes()
    };
    for xmp in [
        packet(&format!("Iptc4xmpExt:DigitalSourceType=\"{TRAINED}\">")),
        packet(&format!("><Iptc4xmpExt:DigitalSourceType>{TRAINED}</Iptc4xmpExt:DigitalSourceType>")),
        packet(&format!("><Iptc4xmpExt:DigitalSourceType rdf:resource='{TRAINED}'/>")),
    ] {
        let mut packed = b"XML:com.adobe.xmp\0\x01\0\0\0".to_vec();
        let mut writer = flate2::write::ZlibEncoder::new(&mut packed, flate2::Compression::fast());
        std::io::Write::write_all(&mut writer, &xmp).unwrap();
        writer.finish().unwrap();
        let plain = [&b"XML:com.adobe.xmp\0\0\0\0\0"[..], &xmp].concat();
        let files = [
            png(&[(b"iTXt", plain)]),
            png(&[(b"iTXt", packed)]),
            jpeg(&[(0xe1, [&b"http://ns.adobe.com/xap/1.0/\0"[..], &xmp].concat())]),
            webp(&[(b"XMP ", xmp.clone())]),
        ];
        for file in files {
            assert_eq!(marks(&file), Marks { credentials: None, digital_source_type: Some(TRAINED.into()) });
        }
    }
    for hostile in ["javascript:alert(1)", "https://x.example/<script>", "https://x.example/\u{0}"] {
        let xmp = packet(&format!("Iptc4xmpExt:DigitalSourceType=\"{hostile}\">"));
        assert_eq!(marks(&webp(&[(b"XMP ", xmp)])), Marks::default(), "{hostile}");
    }
}

#[test]
fn boxes_in_boxes_without_end_are_no_trouble() {
    let mut deep = superbox("c2pa", &[]);
    for _ in 0..2000 {
        deep = superbox("c2pa", &[deep]);
    }
    assert!(marks(&png(&[(b"caBX", deep)])).credentials.is_some());
    let many = superbox("c2pa", &vec![superbox("x", &[]); 100_000]);
    assert!(marks(&png(&[(b"caBX", many)])).credentials.is_some());
}

proptest! {
    #[test]
    fn any_bytes_are_read_within_themselves(
        noise in proptest::collection::vec(any::<u8>(), 0..400), at in any::<usize>(), cut in any::<usize>(), kind in 0..4_usize
    ) {
        // Noise alone, and a good file that is cut or spoilt somewhere.
        let heads: [&[u8]; 4] = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF\xff\0\0\0WEBP", b"GIF89a"];
        marks(&[heads[kind], &noise].concat());
        let mut file = [png(&[(b"caBX", store())]), jpeg(&app11(&store())), webp(&[(b"C2PA", store())]), png(&[(b"caBX", noise.clone())])][kind].clone();
        let at = at % file.len();
        for (byte, noise) in file[at..].iter_mut().zip(noise.iter().take(8)) {
            *byte = *noise;
        }
        file.truncate(cut % file.len() + 1);
        let marks = marks(&file);
        for text in marks.credentials.iter().flat_map(|c| [&c.claim_generator, &c.signer]).chain([&marks.digital_source_type]).flatten() {
            prop_assert!(text.chars().count() <= LONGEST && !text.contains(char::is_control));
        }
    }
}
