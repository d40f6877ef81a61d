use std::fmt::Write;

use super::*;

const URL: &str = "postgres://shop:pass@db.example/shop";

fn read(url: &str) -> Result<Address, InvalidAddress> {
    Address::parse(url, &TlsWords::default())
}

fn said(url: &str) -> String {
    match read(url) {
        Err(error) => error.to_string(),
        Ok(Address { config, plan }) => {
            let Plan { mode, roots, identity, direct } = plan;
            let identity = identity.map(|identity| (identity.cert, identity.key));
            let (mode_of_driver, binding) = (config.get_ssl_mode(), config.get_channel_binding());
            format!("{mode:?} {roots:?} {identity:?} direct={direct} driver={mode_of_driver:?} binding={binding:?}")
        }
    }
}

#[test]
fn every_combination_of_words_protects_as_it_says_or_is_refused() {
    let mut report = String::new();
    for words in [
        "",
        "sslmode=disable",
        "sslmode=prefer",
        "sslmode=require",
        "sslmode=verify-ca",
        "sslmode=verify-full",
        "sslmode=allow",
        "sslmode=VERIFY-FULL",
        "sslrootcert=/r.pem",
        "sslrootcert=system",
        "sslmode=disable&sslrootcert=/r.pem",
        "sslmode=prefer&sslrootcert=/r.pem",
        "sslmode=require&sslrootcert=/r.pem",
        "sslmode=require&sslrootcert=system",
        "sslmode=verify-ca&sslrootcert=/r.pem",
        "sslmode=verify-ca&sslrootcert=system",
        "sslmode=verify-full&sslrootcert=/r.pem",
        "sslmode=verify-full&sslrootcert=",
        "sslmode=require&sslcert=/c.pem&sslkey=/k.pem",
        "sslmode=require&sslcert=/c.pem",
        "sslmode=require&sslkey=/k.pem",
        "sslmode=disable&sslcert=/c.pem&sslkey=/k.pem",
        "sslmode=require&channel_binding=require",
        "channel_binding=disable",
        "channel_binding=always",
        "sslmode=disable&channel_binding=require",
        "sslmode=require&sslnegotiation=direct",
        "sslnegotiation=direct",
        "sslmode=require&sslcrl=/l.pem",
        "sslmode=require&sslpassword=x",
        "gssencmode=disable",
        "sslmode=require&sslmode=verify-full",
    ] {
        writeln!(report, "{words}\n  {}", said(&format!("{URL}?{words}"))).unwrap();
    }
    insta::assert_snapshot!(report);
}

#[test]
fn both_forms_of_an_address_lose_the_words_on_tls_and_nothing_else() {
    let config = |url: &str| read(url).unwrap_or_else(|error| panic!("{url}: {error}")).config;
    for url in [
        "postgres://sh%40p:p%3Fss@db.example:5433/shop?sslmode=verify-full&connect_timeout=7&sslrootcert=%2Fa%20b.pem",
        "host=db.example port=5433 user=sh@p password='p?ss' sslmode = 'verify-full'  dbname=shop connect_timeout=7 sslrootcert='/a b.pem'",
        "sslrootcert=/a\\ b.pem sslmode=verify-full host=db.example port=5433 user=sh@p password=p?ss dbname=shop connect_timeout=7",
    ] {
        let read = read(url).unwrap();
        assert_eq!(read.plan.mode, Mode::VerifyFull, "{url}");
        assert_eq!(read.plan.roots, Some(Roots::File("/a b.pem".into())), "{url}");
        assert_eq!(read.config.get_user(), Some("sh@p"));
        assert_eq!(read.config.get_password(), Some(&b"p?ss"[..]));
        assert_eq!((read.config.get_dbname(), read.config.get_ports()), (Some("shop"), &[5433][..]));
        assert_eq!(read.config.get_connect_timeout().map(std::time::Duration::as_secs), Some(7));
    }
    // A password that looks like a word.
    let odd = config("postgres://shop:x?sslmode=disable&@db.example/shop");
    assert_eq!(odd.get_password(), Some(&b"x?sslmode=disable&"[..]));
    assert_eq!(config("host=a password='it\\'s sslmode=disable'").get_password(), Some(&b"it's sslmode=disable"[..]));
    for socket in ["host=/run/postgresql sslmode=verify-full", "postgres://%2Frun%2Fpostgresql/shop?sslmode=require"] {
        assert_eq!(config(socket).get_ssl_mode(), SslMode::Disable, "a socket needs no TLS");
    }
}

#[test]
fn an_error_quotes_nothing_of_an_address() {
    for url in [
        "postgres://shop:s3cret@db.example:port/shop",
        "host=a password='s3cret",
        "postgres://shop:s3cret@h/d?sslmode=s3cret",
        "postgres://h/d?s3cret=1",
        "s3cret",
    ] {
        let error = read(url).err().unwrap_or_else(|| panic!("{url}"));
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[test]
fn a_word_may_stand_beside_the_address_and_not_in_both() {
    let words = TlsWords { sslmode: Some("require".to_owned()), ..TlsWords::default() };
    assert_eq!(Address::parse(URL, &words).unwrap().plan.mode, Mode::Require);
    let error = Address::parse(&format!("{URL}?sslmode=require"), &words).err().unwrap();
    assert_eq!(
        (error.word, error.rule.as_str()),
        (Some("sslmode"), "is given in the address, too: take one of them out")
    );
}
