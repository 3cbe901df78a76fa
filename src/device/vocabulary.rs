//! The vocabulary of user-agent texts: what one word says about the browser, the system, the kind.
//!
//! Adding a browser, a system or a bot is one value in a closed list of `device.rs` and one line here;
//! a word that stands twice fails the build. Words that are not here say nothing.

use super::Kind::{Mobile, Tablet, Tv};
use super::letters::key;
use super::{Agent, Kind, System};

/// What one word tells.
#[derive(Clone, Copy)]
pub(super) struct Sign {
    pub(super) agent: Agent,
    pub(super) system: System,
    pub(super) kind: Kind,
    pub(super) role: Role,
}

/// What the word, or the number after it, is good for beside the sign's own values.
#[derive(Clone, Copy)]
pub(super) enum Role {
    Place,
    Product,
    /// The version of a product that has told another one before.
    Version,
    /// The engine's version, four behind Internet Explorer's.
    Trident,
    Stated,
    Android,
    Webkit,
    Embedded,
    /// Only an address behind it counts.
    Link,
}

/// One word of the vocabulary.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) word: u128,
    pub(super) alone: Option<Sign>,
    /// With this number behind it only.
    pub(super) only: Option<u16>,
    /// After this word it says something else.
    pub(super) last: Option<u128>,
    pub(super) paired: Sign,
}

const fn says(word: &str, sign: Sign) -> Entry {
    Entry { word: key(word), alone: Some(sign), only: None, last: None, paired: sign }
}

impl Entry {
    const fn with(self, only: u16) -> Self {
        Self { only: Some(only), ..self }
    }

    const fn after(self, last: &str, paired: Sign) -> Self {
        Self { last: Some(key(last)), paired, ..self }
    }
}

/// Says nothing, and changes what the next word says.
const fn leads(word: &str) -> Entry {
    Entry { alone: None, ..says(word, SILENT) }
}

const fn only_after(last: &str, word: &str, sign: Sign) -> Entry {
    Entry { alone: None, ..says(word, sign).after(last, sign) }
}

const SILENT: Sign =
    Sign { agent: Agent::Other, system: System::Other, kind: Kind::Other, role: Role::Place };
pub(super) const OTHER_BOT: Sign = agent(Agent::OtherBot);

const fn agent(agent: Agent) -> Sign {
    Sign { agent, role: Role::Product, ..SILENT }
}

const fn system(system: System) -> Sign {
    Sign { system, ..SILENT }
}

const fn kind(kind: Kind) -> Sign {
    Sign { kind, ..SILENT }
}

const fn role(role: Role) -> Sign {
    Sign { role, ..SILENT }
}

impl Sign {
    const fn on(self, system: System) -> Self {
        Self { system, ..self }
    }

    const fn a(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// No product: `OPR1` is a build of Android.
    pub(super) const fn is_glued(self, behind: u8) -> bool {
        matches!(self.role, Role::Product) && behind.is_ascii_digit()
    }

    const fn by(self, role: Role) -> Self {
        Self { role, ..self }
    }
}

pub(super) const VOCABULARY: [Entry; 156] = [
    leads("like"),
    leads("uc"),
    leads("apache"),
    leads("libwww"),
    leads("org"),
    says("safari", agent(Agent::Safari)),
    says("chrome", agent(Agent::Chrome)),
    says("crios", agent(Agent::Chrome).on(System::Ios)),
    says("chromium", agent(Agent::Chromium)),
    says("firefox", agent(Agent::Firefox)),
    says("fxios", agent(Agent::Firefox).on(System::Ios)),
    says("msie", agent(Agent::InternetExplorer)),
    says("trident", agent(Agent::InternetExplorer).by(Role::Trident)),
    says("iemobile", agent(Agent::InternetExplorer).a(Mobile).by(Role::Version)),
    says("opera", agent(Agent::Opera)),
    says("opr", agent(Agent::Opera)),
    says("opt", agent(Agent::Opera)),
    only_after("opera", "mobi", agent(Agent::Opera).a(Mobile)),
    only_after("opera", "mini", agent(Agent::OperaMini).a(Mobile)),
    says("opios", agent(Agent::OperaMini).a(Mobile)),
    says("edg", agent(Agent::Edge)),
    says("edge", agent(Agent::Edge)),
    says("edga", agent(Agent::Edge).on(System::Android)),
    says("edgios", agent(Agent::Edge).on(System::Ios)),
    says("samsungbrowser", agent(Agent::SamsungInternet)),
    says("silk", agent(Agent::Silk).on(System::Android)),
    says("miuibrowser", agent(Agent::MiuiBrowser)),
    says("huaweibrowser", agent(Agent::HuaweiBrowser)),
    says("qqbrowser", agent(Agent::QqBrowser)),
    says("mqqbrowser", agent(Agent::QqBrowser)),
    says("ucbrowser", agent(Agent::UcBrowser).by(Role::Version)),
    says("ucweb", agent(Agent::UcBrowser).by(Role::Version)),
    says("ubrowser", agent(Agent::UcBrowser)),
    only_after("uc", "browser", agent(Agent::UcBrowser).by(Role::Version)),
    says("whale", agent(Agent::Whale)),
    says("yabrowser", agent(Agent::Yandex)),
    says("yasearchbrowser", agent(Agent::Yandex)),
    says("vivaldi", agent(Agent::Vivaldi)),
    says("brave", agent(Agent::Brave)),
    says("duckduckgo", agent(Agent::DuckDuckGo)),
    says("ddg", agent(Agent::DuckDuckGo)),
    says("gsa", agent(Agent::GoogleApp)),
    says("instagram", agent(Agent::Instagram)),
    says("fban", agent(Agent::Facebook)),
    says("fbav", agent(Agent::Facebook).by(Role::Version)),
    says("fbios", agent(Agent::Facebook)),
    says("fb", agent(Agent::Facebook)).with(4),
    says("version", role(Role::Stated)),
    says("applewebkit", role(Role::Webkit)),
    says("wv", role(Role::Embedded)),
    says("windows", system(System::Windows)),
    says("win", system(System::Windows)),
    says("winnt", system(System::Windows)),
    says("macintosh", system(System::MacOs)),
    says("mac", system(System::MacOs)),
    says("macos", system(System::MacOs)),
    says("iphone", system(System::Ios).a(Mobile)),
    says("ipod", system(System::Ios).a(Mobile)),
    says("ipad", system(System::Ios).a(Tablet)),
    says("ios", system(System::Ios)),
    says("android", system(System::Android).by(Role::Android)),
    says("adr", system(System::Android).by(Role::Android)),
    says("linux", system(System::Linux)),
    says("ubuntu", system(System::Ubuntu)),
    says("kubuntu", system(System::Ubuntu)),
    says("cros", system(System::ChromeOs)),
    says("freebsd", system(System::Bsd)),
    says("openbsd", system(System::Bsd)),
    says("netbsd", system(System::Bsd)),
    says("symbian", system(System::Symbian)),
    says("symbianos", system(System::Symbian)),
    says("symbos", system(System::Symbian)),
    says("series", system(System::Symbian)).with(60),
    says("s", system(System::Symbian)).with(60),
    says("blackberry", system(System::BlackBerry)),
    says("bb", system(System::BlackBerry)).with(10),
    says("playbook", system(System::BlackBerry).a(Tablet)),
    says("kaios", system(System::KaiOs)),
    says("harmonyos", system(System::HarmonyOs)),
    says("openharmony", system(System::HarmonyOs)),
    says("tizen", system(System::Tizen)),
    says("webos", system(System::WebOs)),
    says("web", system(System::WebOs)).with(0),
    says("appletv", system(System::TvOs)),
    says("tvos", system(System::TvOs)),
    says("watchos", system(System::WatchOs)),
    says("mobile", kind(Mobile)),
    says("phone", kind(Mobile)).after("windows", system(System::WindowsPhone).a(Mobile)),
    says("tablet", kind(Tablet)),
    says("tv", kind(Tv)),
    says("smarttv", kind(Tv)),
    says("googletv", kind(Tv)),
    says("hbbtv", kind(Tv)),
    says("crkey", kind(Tv)),
    says("roku", kind(Tv)),
    says("bravia", kind(Tv)),
    says("netcast", kind(Tv)),
    says("googlebot", agent(Agent::Google)),
    says("adsbot", agent(Agent::Google)),
    says("storebot", agent(Agent::Google)),
    says("mediapartners", agent(Agent::Google)),
    says("googleother", agent(Agent::Google)),
    says("bingbot", agent(Agent::Bing)),
    says("bingpreview", agent(Agent::Bing)),
    says("adidxbot", agent(Agent::Bing)),
    says("yandexbot", agent(Agent::YandexBot)),
    says("baiduspider", agent(Agent::Baidu)),
    says("duckduckbot", agent(Agent::DuckDuck)),
    says("applebot", agent(Agent::Apple)),
    says("ahrefsbot", agent(Agent::Ahrefs)),
    says("semrushbot", agent(Agent::Semrush)),
    says("petalbot", agent(Agent::Petal)),
    says("amazonbot", agent(Agent::Amazon)),
    says("bytespider", agent(Agent::Bytespider)),
    says("perplexitybot", agent(Agent::Perplexity)),
    says("gptbot", agent(Agent::Gpt)),
    says("claudebot", agent(Agent::Claude)),
    says("ccbot", agent(Agent::CommonCrawl)),
    says("pingdom", agent(Agent::Pingdom)),
    says("pingdombot", agent(Agent::Pingdom)),
    says("uptimerobot", agent(Agent::UptimeRobot)),
    says("facebookexternalhit", agent(Agent::FacebookBot)),
    says("facebot", agent(Agent::FacebookBot)),
    says("externalagent", agent(Agent::FacebookBot)),
    says("pinterestbot", agent(Agent::Pinterest)),
    says("twitterbot", agent(Agent::Twitter)),
    says("linkedinbot", agent(Agent::LinkedIn)),
    says("slackbot", agent(Agent::Slack)),
    says("discordbot", agent(Agent::Discord)),
    says("telegrambot", agent(Agent::Telegram)),
    says("whatsapp", agent(Agent::WhatsApp)),
    says("curl", agent(Agent::Curl)),
    says("libcurl", agent(Agent::Curl)),
    says("wget", agent(Agent::Wget)),
    says("postmanruntime", agent(Agent::Postman)),
    says("axios", agent(Agent::Axios)),
    says("okhttp", agent(Agent::Okhttp)),
    says("headlesschrome", agent(Agent::HeadlessChrome)),
    says("mj", agent(Agent::Majestic)).with(12),
    only_after("", "java", agent(Agent::Java)),
    only_after("python", "requests", agent(Agent::PythonRequests)),
    only_after("python", "urllib", agent(Agent::PythonUrllib)),
    only_after("apache", "httpclient", agent(Agent::ApacheHttpClient)),
    only_after("http", "client", agent(Agent::GoHttpClient)),
    only_after("libwww", "perl", agent(Agent::Perl)),
    says("bot", OTHER_BOT).after("org", agent(Agent::Archive)),
    says("http", OTHER_BOT.by(Role::Link)),
    says("https", OTHER_BOT.by(Role::Link)),
    says("python", OTHER_BOT),
    says("scrapy", OTHER_BOT),
    says("nutch", OTHER_BOT),
    says("heritrix", OTHER_BOT),
    says("larbin", OTHER_BOT),
    says("ptst", OTHER_BOT),
    says("phantomjs", OTHER_BOT),
    says("lighthouse", OTHER_BOT),
];
