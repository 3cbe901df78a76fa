//! Browser, major version, system and kind of device, each from a closed list (RULES D4).
//!
//! Nothing of a header's text can come out: three names that stand in this file and a number below
//! 1 000. The low-entropy client hints go before the text; no other hint is read, and none is ever asked
//! for (`Accept-CH`). The text is read once, word by word, and no further than [`LIMIT`] bytes.
//!
//! It finds neither models, nor minor versions, nor bots that pose as browsers.

mod hints;
mod letters;
mod vocabulary;
mod words;

use crate::fixed::Fixed;
use hints::{brand, platform};
use vocabulary::{Role, Sign};
use words::number;

/// What of a header is looked at; hints that are longer are ignored, a longer text is cut.
const LIMIT: usize = 512;

/// The reduced description of what sent a request: eight bytes, and nothing of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) name: Agent,
    pub(crate) version: Option<u16>,
    pub(crate) system: System,
    pub(crate) kind: Kind,
}

/// Raw header values, one instance each: `User-Agent`, `Sec-CH-UA`, `Sec-CH-UA-Mobile`, `Sec-CH-UA-Platform`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hints<'a> {
    pub(crate) user_agent: Option<&'a [u8]>,
    pub(crate) brands: Option<&'a [u8]>,
    pub(crate) mobile: Option<&'a [u8]>,
    pub(crate) platform: Option<&'a [u8]>,
}

/// Names a device from its headers; `None` when nothing was sent, `_OTHER` for what no list knows.
///
/// A hint wins over the text where it names something listed. Two exceptions keep what is known better:
/// a text that declares a bot stays a bot, and the engines' brands (`Chromium`, `Android WebView`), which
/// every browser built on them sends, yield to a product that the text names.
///
/// # Privacy
/// About ten bits of version and one value of each list leave; an empty header counts as not sent.
#[inline]
pub(crate) fn classify(hints: &Hints<'_>) -> Option<Device> {
    match hints {
        Hints { user_agent, brands: None, mobile: None, platform: None } => {
            user_agent.filter(|text| !text.is_empty()).map(described)
        }
        _ => hinted(hints),
    }
}

#[inline(never)]
fn described(text: &[u8]) -> Device {
    Reading::of(text).device()
}

#[inline(never)]
fn hinted(hints: &Hints<'_>) -> Option<Device> {
    let sent = [hints.user_agent, hints.brands, hints.mobile, hints.platform];
    if sent.iter().flatten().all(|value| value.is_empty()) {
        return None;
    }
    let text = described(hints.user_agent.unwrap_or_default());
    if text.kind == Kind::Bot {
        return Some(text);
    }
    let named = named(text, hints.brands.and_then(brand));
    let placed =
        Device { system: hints.platform.and_then(platform).unwrap_or(named.system), ..named };
    Some(Device { kind: shaped(placed, hints.mobile), ..placed })
}

fn named(text: Device, brand: Option<(Agent, Option<u16>)>) -> Device {
    let Some((name, version)) = brand else {
        return text;
    };
    if name == text.name {
        return Device { version: version.or(text.version), ..text };
    }
    if name.is_engine() && text.name > name {
        return text;
    }
    Device { name, version, ..text }
}

fn shaped(device: Device, mobile: Option<&[u8]>) -> Kind {
    match mobile {
        _ if device.name.is_bot() => Kind::Bot,
        Some(b"?1") => Kind::Mobile,
        Some(b"?0") if device.kind <= Kind::Mobile => device.system.roomy(),
        _ if device.kind == Kind::Other => device.system.roomy(),
        _ => device.kind,
    }
}

macro_rules! closed_list {
    ($(#[$doc:meta])* $list:ident { $($item:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $list {
            #[default]
            $($item,)+
        }

        impl $list {
            /// Every value that can be emitted.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$item,)+];

            #[inline]
            pub(crate) fn word(self) -> &'static Fixed {
                static WORDS: &[Fixed] = &[$(Fixed::new($name),)+];
                WORDS.get(self as usize).unwrap_or_default()
            }

            #[cfg(test)]
            pub(crate) fn as_str(self) -> &'static str {
                self.word().text
            }
        }
    };
}

closed_list! {
    /// `user_agent.name`, from vague to specific: of all products in a text the last one here names it.
    Agent {
        Other = "_OTHER",
        Safari = "Safari",
        AndroidBrowser = "Android Browser",
        Chrome = "Chrome",
        WebView = "WebView",
        Chromium = "Chromium",
        Firefox = "Firefox",
        InternetExplorer = "Internet Explorer",
        Opera = "Opera",
        Edge = "Edge",
        SamsungInternet = "Samsung Internet",
        Silk = "Silk",
        MiuiBrowser = "MIUI Browser",
        HuaweiBrowser = "Huawei Browser",
        QqBrowser = "QQ Browser",
        OperaMini = "Opera Mini",
        UcBrowser = "UC Browser",
        Whale = "Whale",
        Yandex = "Yandex Browser",
        Vivaldi = "Vivaldi",
        Brave = "Brave",
        DuckDuckGo = "DuckDuckGo",
        GoogleApp = "Google App",
        Instagram = "Instagram",
        Facebook = "Facebook",
        OtherBot = "_OTHER",
        HeadlessChrome = "HeadlessChrome",
        Java = "Java",
        Okhttp = "okhttp",
        ApacheHttpClient = "Apache-HttpClient",
        GoHttpClient = "Go-http-client",
        PythonUrllib = "Python-urllib",
        PythonRequests = "python-requests",
        Perl = "libwww-perl",
        Axios = "axios",
        Postman = "PostmanRuntime",
        Wget = "Wget",
        Curl = "curl",
        WhatsApp = "WhatsApp",
        Telegram = "TelegramBot",
        Discord = "Discordbot",
        Slack = "Slackbot",
        LinkedIn = "LinkedInBot",
        Twitter = "Twitterbot",
        Pinterest = "Pinterestbot",
        FacebookBot = "facebookexternalhit",
        Archive = "archive.org_bot",
        UptimeRobot = "UptimeRobot",
        Pingdom = "PingdomBot",
        CommonCrawl = "CCBot",
        Claude = "ClaudeBot",
        Gpt = "GPTBot",
        Perplexity = "PerplexityBot",
        Bytespider = "Bytespider",
        Amazon = "Amazonbot",
        Petal = "PetalBot",
        Majestic = "MJ12bot",
        Semrush = "SemrushBot",
        Ahrefs = "AhrefsBot",
        Apple = "Applebot",
        DuckDuck = "DuckDuckBot",
        Baidu = "Baiduspider",
        YandexBot = "YandexBot",
        Bing = "bingbot",
        Google = "Googlebot",
    }
}

closed_list! {
    /// `user_agent.os.name`, from vague to specific; distributions are `Linux`, iPadOS is `iOS`.
    System {
        Other = "_OTHER",
        Linux = "Linux",
        Bsd = "BSD",
        Ubuntu = "Ubuntu",
        Symbian = "Symbian",
        Tizen = "Tizen",
        Windows = "Windows",
        MacOs = "macOS",
        ChromeOs = "ChromeOS",
        Android = "Android",
        Ios = "iOS",
        BlackBerry = "BlackBerry",
        KaiOs = "KaiOS",
        HarmonyOs = "HarmonyOS",
        WebOs = "webOS",
        TvOs = "tvOS",
        WatchOs = "watchOS",
        WindowsPhone = "Windows Phone",
    }
}

closed_list! {
    /// `device.type`; tools and libraries count as bots.
    Kind {
        Other = "_OTHER",
        Desktop = "desktop",
        Mobile = "mobile",
        Tablet = "tablet",
        Tv = "tv",
        Bot = "bot",
    }
}

impl Agent {
    fn is_bot(self) -> bool {
        self >= Self::OtherBot
    }

    const fn is_engine(self) -> bool {
        matches!(self, Self::Chromium | Self::WebView)
    }
}

impl System {
    /// What runs this system and does not call itself mobile.
    const fn roomy(self) -> Kind {
        match self {
            Self::Windows
            | Self::MacOs
            | Self::Linux
            | Self::Ubuntu
            | Self::Bsd
            | Self::ChromeOs => Kind::Desktop,
            Self::Android | Self::Ios | Self::HarmonyOs => Kind::Tablet,
            Self::Symbian | Self::BlackBerry | Self::KaiOs | Self::WindowsPhone => Kind::Mobile,
            Self::TvOs | Self::WebOs | Self::Tizen => Kind::Tv,
            Self::WatchOs | Self::Other => Kind::Other,
        }
    }
}

/// What the words of one text have said so far.
#[derive(Default)]
struct Reading {
    agent: Agent,
    version: Option<u16>,
    system: System,
    kind: Kind,
    /// `Version/…`: Safari's and the later Operas' own, and the mark of a web view on Android.
    stated: Option<u16>,
    android: Option<u16>,
    webkit: bool,
    embedded: bool,
}

impl Reading {
    fn of(text: &[u8]) -> Self {
        let mut reading = Self::default();
        let text = text.get(..LIMIT).unwrap_or(text);
        words::read(text, |sign, end| reading.note(sign, text, end));
        reading
    }

    #[inline(never)]
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "read where it stands in a table")]
    fn note(&mut self, sign: &Sign, text: &[u8], end: usize) {
        let after = || text.get(end..);
        let number = || number(text.get(end..)?);
        self.system = self.system.max(sign.system);
        self.kind = self.kind.max(sign.kind);
        match sign.role {
            Role::Product => self.hear(sign.agent, number),
            Role::Version => self.claim(sign.agent, number()),
            Role::Trident => {
                self.claim(sign.agent, number().map(|engine| (engine + 4).min(11)));
            }
            Role::Stated => self.stated = number(),
            Role::Android => self.android = self.android.or(number()),
            Role::Webkit => self.webkit = true,
            Role::Embedded => self.embedded = true,
            Role::Link if after().is_some_and(|after| after.starts_with(b"://")) => {
                self.hear(sign.agent, || None);
            }
            Role::Place | Role::Link => {}
        }
    }

    fn hear(&mut self, agent: Agent, version: impl Fn() -> Option<u16>) {
        if agent > self.agent || (agent == self.agent && self.version.is_none()) {
            (self.agent, self.version) = (agent, version());
        }
    }

    /// A word that tells the version better than the same product's earlier one.
    fn claim(&mut self, agent: Agent, version: Option<u16>) {
        if agent >= self.agent {
            (self.agent, self.version) = (agent, version.or(self.version));
        }
    }

    fn device(&self) -> Device {
        let (name, version) = self.product();
        Device { name, version, system: self.system, kind: self.shape(name) }
    }

    #[inline]
    fn product(&self) -> (Agent, Option<u16>) {
        match self.agent {
            Agent::Other
            | Agent::Safari
            | Agent::Chrome
            | Agent::Opera
            | Agent::OtherBot
            | Agent::Majestic => self.told_apart(),
            agent => (agent, self.version),
        }
    }

    /// The products that more than one word tells, or no version.
    #[inline(never)]
    fn told_apart(&self) -> (Agent, Option<u16>) {
        let embedded = self.embedded || self.stated.is_some();
        match (self.agent, self.system) {
            (Agent::Safari, System::Android) => (Agent::AndroidBrowser, self.android),
            (Agent::Safari, _) => (Agent::Safari, self.stated),
            (Agent::Chrome, system) if embedded && system != System::Ios => {
                (Agent::WebView, self.version)
            }
            (Agent::Other, System::Android) if self.webkit => (Agent::AndroidBrowser, self.android),
            (Agent::Other, System::Ios) if self.webkit => (Agent::WebView, None),
            // Opera 10 to 12 say Opera/9.80.
            (Agent::Opera, _) if self.version == Some(9) => {
                (Agent::Opera, self.stated.max(self.version))
            }
            // The 12 of MJ12bot is its name; what has no name has no version.
            (Agent::Other | Agent::OtherBot | Agent::Majestic, _) => (self.agent, None),
            (agent, _) => (agent, self.version),
        }
    }

    fn shape(&self, name: Agent) -> Kind {
        match self.kind {
            _ if name.is_bot() => Kind::Bot,
            // Windows says "Tablet PC" of any machine with pen support.
            Kind::Tablet if self.system == System::Windows => Kind::Desktop,
            Kind::Other => self.system.roomy(),
            kind => kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FIXTURE: &str = include_str!("../tests/user_agents.tsv");

    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";

    fn text(user_agent: &str) -> Hints<'_> {
        Hints { user_agent: Some(user_agent.as_bytes()), ..Hints::default() }
    }

    fn seen(hints: Hints<'_>) -> (&'static str, Option<u16>, &'static str, &'static str) {
        let device = classify(&hints).expect("something was sent");
        (device.name.as_str(), device.version, device.system.as_str(), device.kind.as_str())
    }

    fn rows() -> impl Iterator<Item = [&'static str; 5]> {
        FIXTURE.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let columns: Vec<&str> = line.splitn(5, '\t').collect();
            columns.try_into().expect("five columns")
        })
    }

    fn ours(row: &[&str; 5]) -> [String; 4] {
        let (name, version, system, kind) = seen(text(row[4]));
        [
            name.into(),
            version.map_or("-".into(), |version| version.to_string()),
            system.into(),
            kind.into(),
        ]
    }

    /// How many of the rows satisfy, in percent; the others are printed.
    fn percent(rows: &[[&str; 5]], satisfies: impl Fn(&[&str; 5], &[String; 4]) -> bool) -> f64 {
        let right = rows.iter().filter(|row| {
            let ours = ours(row);
            let right = satisfies(row, &ours);
            if !right {
                println!("{row:?}, not {ours:?}");
            }
            right
        });
        let count = |count: usize| f64::from(u16::try_from(count).unwrap());
        100.0 * count(right.count()) / count(rows.len())
    }

    #[test]
    fn name_and_system_are_right_for_97_percent_of_browser_strings() {
        let browsers: Vec<_> = rows().filter(|row| row[3] != "bot").collect();
        assert!(browsers.len() >= 300, "{} strings", browsers.len());
        for column in [0, 2, 3] {
            let percent = percent(&browsers, |row, ours| row[column] == ours[column]);
            assert!(percent >= 97.0, "column {column}: {percent:.1} %");
        }
    }

    #[test]
    fn a_version_is_right_or_absent() {
        let stated: Vec<_> = rows().filter(|row| row[3] != "bot" && row[1] != "-").collect();
        assert!(percent(&stated, |row, ours| row[1] == ours[1]) >= 94.0);
        assert!(percent(&stated, |row, ours| row[1] == ours[1] || ours[1] == "-") >= 99.0);
    }

    #[test]
    fn bots_and_tools_are_recognized() {
        let bots: Vec<_> = rows().filter(|row| row[3] == "bot").collect();
        assert!(bots.len() >= 40);
        assert!(percent(&bots, |row, ours| row[0] == ours[0] && ours[3] == "bot") >= 97.0);
    }

    #[test]
    fn a_phone_that_is_called_like_a_bot_is_a_phone() {
        let phone = "Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/74.0 Mobile Safari/537.36";
        assert_eq!(seen(text(phone)), ("Chrome", Some(74), "Android", "mobile"));
    }

    #[test]
    fn a_build_number_and_a_comparison_are_no_products() {
        let build = "Mozilla/5.0 (Linux; Android 8.0.0; HTC 10 Build/OPR1.170623.027) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/63.0 Mobile Safari/537.36";
        assert_eq!(seen(text(build)), ("Chrome", Some(63), "Android", "mobile"));
        let like = "Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10.5; rv:1.9) Gecko/2009 Camino/2.0 (like Firefox/3.0.15)";
        assert_eq!(seen(text(like)), ("_OTHER", None, "macOS", "desktop"));
    }

    #[test]
    fn todays_browsers_are_named() {
        let cases = [
            (CHROME, ("Chrome", Some(120), "Windows", "desktop")),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
                ("Chrome", Some(131), "Android", "mobile"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
                ("Chrome", Some(131), "Android", "tablet"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36",
                ("Samsung Internet", Some(27), "Android", "mobile"),
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
                ("Safari", Some(18), "macOS", "desktop"),
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/131.0 Mobile/15E148 Safari/604.1",
                ("Chrome", Some(131), "iOS", "tablet"),
            ),
            (
                "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
                ("Firefox", Some(133), "Ubuntu", "desktop"),
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
                ("Edge", Some(131), "ChromeOS", "desktop"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; SM-S918B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/131.0 Mobile Safari/537.36",
                ("WebView", Some(131), "Android", "mobile"),
            ),
            (
                "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; Tablet PC 2.0)",
                ("Internet Explorer", Some(8), "Windows", "desktop"),
            ),
            ("curl/8.11.0", ("curl", Some(8), "_OTHER", "bot")),
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                ("Googlebot", Some(2), "_OTHER", "bot"),
            ),
        ];
        for (user_agent, expected) in cases {
            assert_eq!(seen(text(user_agent)), expected, "{user_agent}");
        }
    }

    #[test]
    fn nothing_sent_is_absent_and_nothing_known_is_other() {
        assert_eq!(classify(&Hints::default()), None);
        assert_eq!(classify(&text("")), None);
        let other = ("_OTHER", None, "_OTHER", "_OTHER");
        for unknown in
            ["-", "Mozilla/5.0", "alice@example.org", "\u{202e}Chrom\u{0435}/120", "4711"]
        {
            assert_eq!(seen(text(unknown)), other, "{unknown}");
        }
        assert_eq!(seen(Hints { brands: Some(b"\xff"), ..Hints::default() }), other);
    }

    #[test]
    fn a_version_is_a_major_below_a_thousand_or_nothing() {
        let cases = [
            ("Chrome/999.1", Some(999)),
            ("Chrome/120.0.6099.71", Some(120)),
            ("Chrome/1000", None),
            ("Chrome/1234567890123", None),
            ("Chrome/65656", None),
            ("Chrome/-1", None),
            ("Chrome/", None),
            ("Chrome", None),
            ("Opera/9.80 (X11; Linux) Version/1234", Some(9)),
            ("Trident/998", Some(11)),
            ("Unknown/77", None),
            ("Unknownbot/77", None),
            ("MJ12bot/v1.4.8", None),
        ];
        for (user_agent, version) in cases {
            assert_eq!(classify(&text(user_agent)).unwrap().version, version, "{user_agent}");
        }
    }

    fn hinted<'a>(
        user_agent: &'a str,
        brands: &'a str,
        mobile: &'a str,
        platform: &'a str,
    ) -> Hints<'a> {
        let value = |text: &'a str| (!text.is_empty()).then_some(text.as_bytes());
        Hints {
            user_agent: value(user_agent),
            brands: value(brands),
            mobile: value(mobile),
            platform: value(platform),
        }
    }

    #[test]
    fn hints_go_before_the_text_where_they_name_something_listed() {
        let edge = r#""Microsoft Edge";v="131", "Chromium";v="131", "Not_A Brand";v="24""#;
        let opera = "Mozilla/5.0 (X11; Linux x86_64) Chrome/130.0 Safari/537.36 OPR/115.0";
        let cases = [
            (hinted(CHROME, edge, "?0", r#""macOS""#), ("Edge", Some(131), "macOS", "desktop")),
            (hinted("", edge, "?1", r#""Android""#), ("Edge", Some(131), "Android", "mobile")),
            (hinted("", edge, "?0", r#""Android""#), ("Edge", Some(131), "Android", "tablet")),
            (hinted("", edge, "", r#""Chrome OS""#), ("Edge", Some(131), "ChromeOS", "desktop")),
            (hinted(CHROME, edge, "?2", "macOS"), ("Edge", Some(131), "Windows", "desktop")),
            (
                hinted(CHROME, r#""Not_A Brand";v="24""#, "", r#""Unknown""#),
                ("Chrome", Some(120), "Windows", "desktop"),
            ),
            (
                hinted(CHROME, r#""Chromium";v="121""#, "", ""),
                ("Chromium", Some(121), "Windows", "desktop"),
            ),
            (
                hinted(opera, r#""Chromium";v="130""#, "", ""),
                ("Opera", Some(115), "Linux", "desktop"),
            ),
            (
                hinted(CHROME, r#""Chromium";v="9", "Google Chrome";v="7""#, "", ""),
                ("Chrome", Some(7), "Windows", "desktop"),
            ),
            (hinted("curl/8.1", edge, "?1", r#""macOS""#), ("curl", Some(8), "_OTHER", "bot")),
            (
                hinted(CHROME, r#""HeadlessChrome";v="131""#, "?1", ""),
                ("HeadlessChrome", Some(131), "Windows", "bot"),
            ),
            (hinted("Android 10 Mobile", edge, "?0", ""), ("Edge", Some(131), "Android", "tablet")),
            (hinted("x", "", "?1", ""), ("_OTHER", None, "_OTHER", "mobile")),
        ];
        for (hints, expected) in cases {
            assert_eq!(seen(hints), expected, "{hints:?}");
        }
    }

    #[test]
    fn a_list_of_brands_is_read_as_a_structured_field() {
        let chrome = |version| Some((Agent::Chrome, version));
        let cases = [
            (r#""Google Chrome";v="131""#, chrome(Some(131))),
            (r#"  "(Not(A:Brand";v="8" ,	"Google Chrome"; v="131.0.1";x="y" "#, chrome(Some(131))),
            (r#""\\Not\"A;Brand";v="99", "Google Chrome";v="131""#, chrome(Some(131))),
            (r#""Google Chrome";v="1";v="2""#, chrome(Some(2))),
            (r#""Google Chrome""#, chrome(None)),
            (r#""Google Chrome";v="12345""#, chrome(None)),
            (r#""google chrome";v="1""#, None),
            (r#""Google Chrome";v="131","#, None),
            (r#""Google Chrome";v=131"#, None),
            (r#""Google Chrome";v"#, None),
            (r#""Google Chrome" "Chromium""#, None),
            (r#""Google Chrome";v="131"#, None),
            (r#""A\B";v="8", "Google Chrome";v="131""#, None),
            (r#""Google\ Chrome";v="131""#, None),
            ("Google Chrome", None),
            ("\"Google Chrome\", \"\u{7f}\"", None),
            ("", None),
        ];
        for (list, expected) in cases {
            assert_eq!(brand(list.as_bytes()), expected, "{list}");
        }
        let long = format!(r#""Google Chrome";v="131", "{}""#, "x".repeat(LIMIT));
        assert_eq!(brand(long.as_bytes()), None);
    }

    #[test]
    fn the_order_of_brands_does_not_matter() {
        let brands = [
            r#""Chromium";v="131""#,
            r#""Android WebView";v="131""#,
            r#""Google Chrome";v="131""#,
            r#""Vivaldi";v="7""#,
            r#""Not A;Brand";v="99""#,
        ];
        for count in 1..=brands.len() {
            let forth = brands[..count].join(", ");
            let back: Vec<_> = brands[..count].iter().rev().copied().collect();
            assert_eq!(brand(forth.as_bytes()), brand(back.join(",").as_bytes()), "{forth}");
        }
        let named = |list: &str| brand(list.as_bytes()).unwrap().0;
        assert_eq!(named(&brands[..2].join(",")), Agent::WebView);
        assert_eq!(named(&brands[..3].join(",")), Agent::Chrome);
        assert_eq!(named(&brands[..4].join(",")), Agent::Vivaldi);
    }

    #[test]
    fn a_device_is_small_and_every_value_has_one_name() {
        assert!(size_of::<Device>() <= 8);
        let systems = System::ALL.iter().map(|system| system.as_str());
        let kinds = Kind::ALL.iter().map(|kind| kind.as_str());
        let agents = Agent::ALL.iter().map(|agent| agent.as_str());
        for names in [systems.collect(), kinds.collect(), agents.collect::<Vec<_>>()] {
            let named = names.iter().filter(|name| **name != "_OTHER");
            let mut once: Vec<_> = named.clone().collect();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), named.count());
            assert!(names.iter().all(|name| name.is_ascii() && name.len() <= 20));
        }
    }

    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let words = prop_oneof![
            prop::sample::select(vec![
                "Mozilla/5.0",
                "Chrome/",
                "Version/",
                "Safari/",
                "Trident/",
                "MSIE ",
                "Opera/9.80",
                "Android ",
                "like ",
                "bot",
                "https://",
                "\"Google Chrome\"",
                ";v=\"",
                "\"",
                "\\",
                ", ",
                ";",
                "?1",
                "iPhone",
                "99999999999999999999",
                "65535",
            ])
            .prop_map(|word| word.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..6),
        ];
        prop::collection::vec(words, 0..60).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn nothing_but_listed_values_and_small_numbers_comes_out(
            user_agent in proptest::option::of(hostile()),
            brands in proptest::option::of(hostile()),
            mobile in proptest::option::of(hostile()),
            platform in proptest::option::of(hostile()),
        ) {
            let hints = Hints {
                user_agent: user_agent.as_deref(), brands: brands.as_deref(), mobile: mobile.as_deref(), platform: platform.as_deref(),
            };
            if let Some(device) = classify(&hints) {
                prop_assert!(device.version.is_none_or(|version| version <= words::NEWEST));
                prop_assert!(device.name.as_str() != "_OTHER" || device.version.is_none());
                prop_assert_eq!(device.kind == Kind::Bot, device.name.is_bot());
            }
        }

        #[test]
        fn what_stands_after_the_first_512_bytes_changes_nothing(head in hostile(), tail in hostile()) {
            let mut head = [head, vec![b' '; LIMIT]].concat();
            head.truncate(LIMIT);
            let long = [head.clone(), tail].concat();
            let of = |text| classify(&Hints { user_agent: Some(text), ..Hints::default() });
            prop_assert_eq!(of(&head), of(&long));
        }
    }

    #[test]
    fn mutated_texts_and_hints_do_not_panic() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % u64::try_from(below).unwrap()).unwrap()
        };
        let hints = r#""Google Chrome";v="131", "Not\\\"A;Brand";v="8", "Chromium";v="131""#;
        let texts: Vec<&str> =
            rows().map(|row| row[4]).chain([hints, "?1", "\"Android\""]).collect();
        let mut mutated = || {
            let mut text = texts[random(texts.len())].as_bytes().to_vec();
            for _ in 0..random(6) {
                let at = random(text.len() + 1);
                match random(4) {
                    0 => text.truncate(at),
                    1 => text.insert(at, u8::try_from(random(256)).unwrap()),
                    2 => text.splice(at.., texts[random(texts.len())].bytes()).for_each(drop),
                    _ => text.rotate_left(at),
                }
            }
            text
        };
        for _ in 0..20_000 {
            let [user_agent, brands, mobile, platform] = [(); 4].map(|()| mutated());
            let device = classify(&Hints {
                user_agent: Some(&user_agent),
                brands: Some(&brands),
                mobile: Some(&mobile),
                platform: Some(&platform),
            });
            assert!(
                device
                    .and_then(|device| device.version)
                    .is_none_or(|version| version <= words::NEWEST)
            );
        }
    }
}
