use std::os::unix::fs::PermissionsExt;

use edge_wire::cid::{Candidate, Codec, DEFAULT_LEN, ServerId};

use tempfile::TempDir;

use super::*;

/// A directory of this test's own, removed at its end.
struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("made"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("fleet.toml")
    }
}

fn refusal(text: &str) -> String {
    Secrets::parse("fleet.toml".as_ref(), text).expect_err("refused").to_string()
}

#[test]
fn what_init_writes_is_read_back_and_ours_alone() {
    let directory = Directory::new();
    for (mode, length, force) in [(IdMode::Encrypted, 17, false), (IdMode::Plain, 9, true)] {
        init(&directory.file(), mode, length, force).expect("written");
        let metadata = std::fs::metadata(directory.file()).expect("there");
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
        let secrets = Secrets::load(&directory.file()).expect("read");
        assert_eq!(secrets.connection_ids[0].key.is_some(), mode == IdMode::Encrypted);
        assert_eq!(secrets.connection_ids[0].length, length);
        assert_eq!((secrets.mint, secrets.encapsulate_with), (0, 0));
        assert_ne!(secrets.tickets.current, secrets.tokens.current);
    }
    assert_eq!(
        std::fs::read_dir(directory.0.path()).expect("there").count(),
        1,
        "nothing left behind"
    );
}

#[test]
fn init_keeps_the_keys_that_are_there() {
    let directory = Directory::new();
    init(&directory.file(), IdMode::Encrypted, DEFAULT_LEN, false).expect("written");
    let before = Secrets::load(&directory.file()).expect("read");
    let error = init(&directory.file(), IdMode::Encrypted, DEFAULT_LEN, false).expect_err("exists");
    assert!(matches!(error, FleetError::Exists(_)) && error.to_string().contains("--force"));
    assert_eq!(Secrets::load(&directory.file()).expect("read"), before);
    init(&directory.file(), IdMode::Encrypted, DEFAULT_LEN, true).expect("replaced");
    assert_ne!(Secrets::load(&directory.file()).expect("read"), before);
}

#[test]
fn a_file_that_others_may_read_is_refused_with_the_cure() {
    let directory = Directory::new();
    init(&directory.file(), IdMode::Encrypted, DEFAULT_LEN, false).expect("written");
    for mode in [0o640, 0o604, 0o660, 0o644] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(directory.file(), permissions).expect("ours");
        let error = Secrets::load(&directory.file()).expect_err("open to others").to_string();
        let cure = format!("run `chmod 600 {}`", directory.file().display());
        assert!(error.contains(&format!("(mode {mode:04o})")) && error.contains(&cure), "{error}");
    }
}

#[test]
fn only_a_regular_file_is_read() {
    let directory = Directory::new();
    let error = Secrets::load(directory.0.path()).expect_err("a directory");
    assert!(matches!(error, FleetError::NotRegular(_)), "{error}");
    let pipe = directory.0.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).expect("made");
    let error = Secrets::load(&pipe).expect_err("a pipe");
    assert!(matches!(error, FleetError::NotRegular(_)), "{error}");
    let error = Secrets::load(&directory.file()).expect_err("not there").to_string();
    assert!(error.contains("`landfast-edge fleet init` writes one"), "{error}");
}

#[test]
fn several_configs_and_rotating_keys_survive_the_file() {
    let mut secrets = Secrets::generate(IdMode::Encrypted, DEFAULT_LEN).expect("random");
    secrets.connection_ids.push(ConnectionIdConfig {
        config_id: 6,
        length: 20,
        key: None,
        reset_key: [6; 32],
    });
    secrets.mint = 6;
    secrets.encapsulation_keys.push(EncapsulationSecret { key_id: 3, key: [3; 16] });
    secrets.encapsulate_with = 3;
    secrets.tickets.previous = Some([1; 32]);
    secrets.tokens.next = Some([2; 32]);
    let text = file::write(&secrets);
    assert_eq!(Secrets::parse("fleet.toml".as_ref(), &text).expect("read"), secrets);
}

#[test]
fn no_key_is_shown_by_debug_or_by_any_message() {
    let mut secrets = Secrets::generate(IdMode::Encrypted, DEFAULT_LEN).expect("random");
    secrets.tickets.previous = secrets.tokens.previous;
    let text = file::write(&secrets);
    let keys: Vec<&str> = text.split('"').filter(|word| word.len() >= 32).collect();
    assert!(keys.len() >= 6);
    let shown = format!("{secrets:?} {secrets:#?}");
    // A key shown as a list of numbers would begin so.
    assert!(!shown.contains("[1") && !shown.contains("key: ["), "{shown}");
    // A key in the place of every other value, with and without its quotes.
    for line in text.lines().filter(|line| line.contains(" = ")) {
        let (name, _) = line.split_once(" = ").expect("a setting");
        for key in &keys {
            for value in [format!("\"{key}0\""), (*key).to_owned(), "12345678901234567".to_owned()]
            {
                let wrong = text.replacen(line, &format!("{name} = {value}"), 1);
                let message = refusal(&wrong);
                assert!(!message.contains(&key[..8]) && !message.contains("1234567"), "{message}");
            }
        }
    }
    for key in keys {
        assert!(!shown.contains(&key[..8]));
    }
}

#[test]
fn each_mistake_is_refused_with_its_line() {
    let good = file::write(&Secrets::generate(IdMode::Encrypted, DEFAULT_LEN).expect("random"));
    let line = |start: &str| {
        let found = good.lines().position(|line| line.starts_with(start));
        found.expect("there") + 1
    };
    let cases = [
        ("config_id = 0", "config_id = 7", "`config_id` must be 0 to 6"),
        ("mint = 0", "mint = 1", "`mint` is no `config_id`"),
        ("send_with = 0", "send_with = 2", "`send_with` is no `key_id`"),
        ("key_id = 0", "key_id = 4", "`key_id` must be 0 to 3"),
        ("mode = \"encrypted\"", "mode = \"four-pass\"", "`mode` must be"),
        ("length = 17", "length = 8", "`length` must be 9 to 20"),
        ("length = 17", "length = 21", "`length` must be 9 to 20"),
        ("length = 17", "length = -1", "`length` must be 9 to 20"),
    ];
    for (from, to, reason) in cases {
        let message = refusal(&good.replacen(from, to, 1));
        let place = format!("fleet.toml, line {}: {reason}", line(from));
        assert!(message.contains(&place), "{message}");
    }
    assert!(refusal(&good.replacen("\"encrypted\"", "\"plain\"", 1)).contains("has no `key`"));
    assert!(
        refusal(&good.replacen("worker_hash = \"", "worker_hash = \"0", 1))
            .contains("32 hexadecimal")
    );
    assert!(refusal("mint = 0").contains("missing field"));
    let start = good.find("[[connection_ids]]").expect("there");
    let end = good.find("[encapsulation]").expect("there");
    let twice = good.replacen(&good[start..end], &good[start..end].repeat(2), 1);
    assert!(refusal(&twice).contains("this `config_id` is there twice"));
}

/// Files of before lengths could be chosen name none.
#[test]
fn a_config_without_length_has_ids_of_17_bytes() {
    let text = file::write(&Secrets::generate(IdMode::Encrypted, DEFAULT_LEN).expect("random"));
    let secrets = Secrets::parse("fleet.toml".as_ref(), &text.replacen("length = 17\n", "", 1));
    assert_eq!(secrets.expect("read").connection_ids[0].length, 17);
}

/// Seven at once, each of its own length: all that three bits can tell apart.
#[test]
fn each_config_decodes_ids_of_its_own_length_and_no_others() {
    let mut secrets = Secrets::generate(IdMode::Encrypted, DEFAULT_LEN).expect("random");
    secrets.connection_ids = (0..7)
        .map(|config_id| ConnectionIdConfig {
            config_id,
            length: [9, 20, 17, 16, 18, 10, 17][usize::from(config_id)],
            key: (config_id < 6).then_some([config_id; 16]),
            reset_key: [config_id; 32],
        })
        .collect();
    let text = file::write(&secrets);
    let secrets = Secrets::parse("fleet.toml".as_ref(), &text).expect("read");
    let owner = ServerId { node: 300, worker: 4, generation: 5 };
    for ConnectionIdConfig { config_id, length, key, .. } in &secrets.connection_ids {
        let codec = Codec::landfast(*config_id, *length, key.as_ref()).expect("valid");
        let id = codec.encode(&owner.to_bytes(), &vec![7; codec.nonce_len()]);
        let candidate = Candidate::of_id(id.as_slice()).expect("at most 20 bytes");
        for (index, config) in (0..).zip(secrets.decode_configs()) {
            let decoded = config.owner(&candidate);
            assert_eq!(decoded == Some(owner), index == *config_id, "{config_id} read by {index}");
        }
    }
    let eighth = text.replacen("config_id = 6", "config_id = 7", 1);
    assert!(refusal(&eighth).contains("`config_id` must be 0 to 6"));
}
