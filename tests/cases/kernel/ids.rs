//! Connection IDs of every form and length, several side by side, and their configs as they
//! change while packets come.

use edge_wire::Reason::{self, Forwarded, Local, NewConnection, NotQuic, OwnerUnknown};
use edge_wire::cid::{Codec, DEFAULT_LEN, MAX_LEN, MIN_LEN, SINGLE_PASS_LEN, ServerId};
use edge_wire::maps::DecodeConfig;
use tests::packet::{Packet, long_header, short_header};

use super::fixture::{Case, cases, passed};
use super::fleet::{LIVE, OURSELVES, config_key, families, id_of};
use super::wire::sent;

cases![
    every_form_and_length_names_the_owner,
    seven_configs_are_read_at_once,
    a_long_header_says_how_long_its_id_is,
    a_short_header_has_room_for_the_longest_id,
    an_old_config_is_read_until_it_is_removed,
    a_config_changes_between_two_packets,
    without_the_key_no_owner_can_be_named,
    worker_and_generation_are_the_owners_own_affair,
];

/// How IDs of a config are made, and read.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) config: u8,
    pub(super) length: usize,
    pub(super) key: Option<[u8; 16]>,
}

impl Form {
    fn id(self, node: u16) -> Vec<u8> {
        self.id_of(ServerId { node, worker: 1, generation: 7 })
    }

    pub(super) fn id_of(self, owner: ServerId) -> Vec<u8> {
        self.id_with(owner, 0xc3)
    }

    /// With this byte as nonce.
    pub(super) fn id_with(self, owner: ServerId, nonce: u8) -> Vec<u8> {
        let codec = Codec::landfast(self.config, self.length, self.key.as_ref()).expect("valid");
        codec.encode(&owner.to_bytes(), &vec![nonce; codec.nonce_len()]).as_slice().to_vec()
    }

    pub(super) fn decode(self) -> DecodeConfig {
        DecodeConfig::new(self.length, self.key.as_ref())
    }

    /// So that the kernel reads them.
    fn install(self, case: &mut Case) {
        let decode = self.decode();
        case.change(move |kernel| kernel.set_config(u32::from(self.config), decode));
    }

    pub(super) fn name(self) -> &'static str {
        match (self.key, self.length) {
            (None, _) => "in clear",
            (Some(_), SINGLE_PASS_LEN) => "in a single pass",
            (Some(_), odd) if odd % 2 == 0 => "in four passes, an odd text",
            (Some(_), _) => "in four passes, an even text",
        }
    }
}

/// Every length, encrypted and in clear, as many at once as there are configs.
fn every_form_and_length_names_the_owner() -> Case {
    let mut case = Case::default();
    let all: Vec<_> = (MIN_LEN..=MAX_LEN)
        .flat_map(|length| [None, Some([0x70 + length as u8; 16])].map(|key| (length, key)))
        .collect();
    for group in all.chunks(7) {
        let forms = group.iter().zip(0..);
        let forms = forms.map(|(&(length, key), config)| Form { config, length, key });
        let forms: Vec<_> = forms.collect();
        forms.iter().for_each(|form| form.install(&mut case));
        for (form, (family, packet)) in forms.iter().flat_map(|form| families().map(|f| (form, f)))
        {
            add_each_header(&mut case, *form, family, &packet);
        }
    }
    case
}

fn add_each_header(case: &mut Case, form: Form, family: &str, packet: &Packet) {
    let variant = format!("{family}, {} bytes", form.length);
    for (header, payload_with) in HEADERS {
        let to_another = packet.clone().payload(payload_with(&form.id(LIVE)));
        let sentence = format!("{header}, {}, of a live node", form.name());
        case.add(sent(sentence, &variant, &to_another, LIVE));
        let to_us = packet.clone().payload(payload_with(&form.id(OURSELVES)));
        let sentence = format!("{header}, {}, of ours", form.name());
        case.add(passed(sentence, &variant, to_us.frame(), Local));
    }
}

type Header = fn(&[u8]) -> Vec<u8>;

const HEADERS: [(&str, Header); 2] = [
    ("a short header", |id| short_header(id, 40)),
    ("a long header", |id| long_header(0xe0, 1, id, 40)),
];

fn seven_configs_are_read_at_once() -> Case {
    let mut case = Case::default();
    let lengths = [9, 12, 14, 16, 17, 19, 20];
    let forms = [0, 1, 2, 3, 4, 5, 6].map(|config| Form {
        config,
        length: lengths[usize::from(config)],
        key: (config != 3).then_some([0x20 + config; 16]),
    });
    forms.iter().for_each(|form| form.install(&mut case));
    // In turn, so that none leaves something behind for the next.
    for round in 0..3 {
        for (form, (family, packet)) in forms.iter().flat_map(|form| families().map(|f| (form, f)))
        {
            let packet = packet.payload(short_header(&form.id(LIVE), 30 + round));
            let sentence = format!("config {} of seven", form.config);
            case.add(sent(sentence, format!("{family}, round {round}"), &packet, LIVE));
        }
    }
    // Each octet stands for one config and one length: with another's length it is none of ours.
    for (form, other) in forms.iter().zip(forms.iter().cycle().skip(1)) {
        let mixed = Form { config: other.config, ..*form };
        for (family, packet) in families() {
            let frame = packet.payload(short_header(&mixed.id(LIVE), 30)).frame();
            let variant = format!("{family}, config {} by {}", other.config, form.length);
            case.add(passed("one config's length by another's ID", variant, frame, NewConnection));
        }
    }
    case
}

fn a_long_header_says_how_long_its_id_is() -> Case {
    let mut case = Case::default();
    for (form, (family, packet)) in
        lengths_and_forms().iter().flat_map(|form| families().map(|f| (form, f)))
    {
        form.install(&mut case);
        for declared in [0, 1, 8, 9, 13, 16, 17, 18, 20, 21, 255] {
            if declared == form.length {
                continue;
            }
            let mut payload = long_header(0xe0, 1, &form.id(LIVE), 300);
            payload[5] = declared as u8;
            let sentence = match declared {
                ..MIN_LEN => "shorter than ours ever are",
                declared if declared > MAX_LEN => "longer than ours ever are",
                declared if declared < form.length => "shorter than the ID itself says",
                _ => "longer than the ID itself says",
            };
            let variant = format!("{family}, {declared} for {}", form.length);
            let frame = packet.clone().payload(payload).frame();
            case.add(passed(sentence, variant, frame, NewConnection));
        }
    }
    case
}

/// Sixteen bytes of tag stand behind any packet number: a packet of ours is never so short that
/// the longest ID would not fit, however short its own is (RFC 9001 section 5.4.2).
fn a_short_header_has_room_for_the_longest_id() -> Case {
    let mut case = Case::default();
    for (form, (family, packet)) in
        lengths_and_forms().iter().flat_map(|form| families().map(|f| (form, f)))
    {
        form.install(&mut case);
        let variant = format!("{family}, ID of {} bytes", form.length);
        let room = MAX_LEN - form.length;
        let long_room = room.saturating_sub(1); // the empty source ID's length is a byte of it
        let id = form.id(LIVE);
        let just = packet.clone().payload(short_header(&id, room));
        case.add(sent("a short header, just room", &variant, &just, LIVE));
        let just = packet.clone().payload(long_header(0xe0, 1, &id, long_room));
        case.add(sent("a long header, just room", &variant, &just, LIVE));
        let mut less = short_header(&id, room);
        less.pop();
        let frame = packet.clone().payload(less).frame();
        case.add(passed("a short header, a byte less", &variant, frame, NotQuic));
        let mut less = long_header(0xe0, 1, &id, long_room);
        less.truncate(6 + MAX_LEN - 1);
        let frame = packet.payload(less).frame();
        case.add(passed("a long header, a byte less", &variant, frame, NotQuic));
    }
    case
}

fn lengths_and_forms() -> [Form; 4] {
    let key = Some([0x31; 16]);
    [
        Form { config: 0, length: 9, key: None },
        Form { config: 1, length: 14, key },
        Form { config: 2, length: 17, key },
        Form { config: 3, length: 20, key },
    ]
}

fn an_old_config_is_read_until_it_is_removed() -> Case {
    let mut case = Case::default();
    let old = Form { config: 0, length: DEFAULT_LEN, key: config_key(0) };
    let new = Form { config: 1, length: 14, key: Some([0x99; 16]) };
    case.change(|kernel| kernel.set_config(1, DecodeConfig::ABSENT));
    add_both_families(&mut case, "the new one, before it is known", new, NewConnection);
    new.install(&mut case);
    add_both_families(&mut case, "the old one, beside the new one", old, Forwarded);
    add_both_families(&mut case, "the new one, beside the old one", new, Forwarded);
    case.change(|kernel| kernel.set_config(0, DecodeConfig::ABSENT));
    add_both_families(&mut case, "the old one, removed", old, NewConnection);
    add_both_families(&mut case, "the new one, alone", new, Forwarded);
    case
}

fn add_both_families(case: &mut Case, sentence: &str, form: Form, reason: Reason) {
    for (family, packet) in families() {
        let packet = packet.payload(short_header(&form.id(LIVE), 30));
        case.add(match reason {
            Forwarded => sent(sentence, family, &packet, LIVE),
            reason => passed(sentence, family, packet.frame(), reason),
        });
    }
}

/// User space writes one entry of a map, and the next packet is read by it.
fn a_config_changes_between_two_packets() -> Case {
    let mut case = Case::default();
    let before = Form { config: 2, length: DEFAULT_LEN, key: config_key(2) };
    for (sentence, after) in [
        ("another key", Form { key: Some([0x77; 16]), ..before }),
        ("another length", Form { length: 20, ..before }),
        ("a shorter length", Form { length: 9, ..before }),
        ("in clear from now on", Form { key: None, ..before }),
    ] {
        for (family, packet) in families() {
            let short = |form: Form| packet.clone().payload(short_header(&form.id(LIVE), 30));
            before.install(&mut case);
            case.add(sent(format!("{sentence}: before"), family, &short(before), LIVE));
            after.install(&mut case);
            case.add(sent(format!("{sentence}: after"), family, &short(after), LIVE));
            // Read by the other key it names no node that there is; of another length, nothing.
            let same_length = before.length == after.length;
            let reason = if same_length { OwnerUnknown } else { NewConnection };
            let frame = short(before).frame();
            case.add(passed(format!("{sentence}: an ID of before"), family, frame, reason));
            before.install(&mut case);
            case.add(sent(format!("{sentence}: and back"), family, &short(before), LIVE));
        }
    }
    case
}

/// What an outsider writes decodes to an owner that nobody can choose: nearly always to none.
fn without_the_key_no_owner_can_be_named() -> Case {
    let mut case = Case::default();
    for form in lengths_and_forms().iter().filter(|form| form.key.is_some()) {
        form.install(&mut case);
        let forged = Form { key: Some([0xbd; 16]), ..*form };
        let in_clear = Form { key: None, ..*form };
        for (family, packet) in families() {
            for (sentence, form) in
                [("encrypted with another key", forged), ("written in clear", in_clear)]
            {
                let frame = packet.clone().payload(short_header(&form.id(LIVE), 30)).frame();
                let variant = format!("{family}, {} bytes", form.length);
                case.add(passed(sentence, variant, frame, OwnerUnknown));
            }
            let mut flipped = form.id(LIVE);
            flipped[form.length - 1] ^= 1;
            let frame = packet.payload(short_header(&flipped, 30)).frame();
            let variant = format!("{family}, {} bytes", form.length);
            case.add(passed("a live node's ID, one bit changed", variant, frame, OwnerUnknown));
        }
    }
    case
}

fn worker_and_generation_are_the_owners_own_affair() -> Case {
    let mut case = Case::default();
    let form = Form { config: 0, length: DEFAULT_LEN, key: config_key(0) };
    for (family, packet) in families() {
        for (worker, generation) in [(0, 0), (3, 2), (255, 255)] {
            let variant = format!("{family}, worker {worker}, generation {generation}");
            let id = |node| form.id_of(ServerId { node, worker, generation });
            let of_another = packet.clone().payload(short_header(&id(LIVE), 30));
            case.add(sent("another node's", &variant, &of_another, LIVE));
            let ours = packet.clone().payload(short_header(&id(OURSELVES), 30)).frame();
            case.add(passed("our own", &variant, ours, Local));
        }
        let other_nonce = packet.payload(short_header(&id_of(LIVE), 30));
        case.add(sent("another nonce", family, &other_nonce, LIVE));
    }
    case
}
