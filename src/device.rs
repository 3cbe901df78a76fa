//! stub
#[derive(Clone, Copy)]
pub(crate) struct Word(u8);
impl Word {
    pub(crate) fn as_str(self) -> &'static str {
        [""][self.0 as usize]
    }
}
#[derive(Clone, Copy)]
pub(crate) struct Device {
    pub(crate) name: Word,
    pub(crate) version: Option<u8>,
    pub(crate) system: Word,
    pub(crate) kind: Word,
}
#[allow(dead_code)]
pub(crate) struct Hints<'a> {
    pub(crate) user_agent: Option<&'a [u8]>,
    pub(crate) brands: Option<&'a [u8]>,
    pub(crate) mobile: Option<&'a [u8]>,
    pub(crate) platform: Option<&'a [u8]>,
}
pub(crate) fn classify(_: Hints<'_>) -> Option<Device> {
    None
}
