use crate::answers::Verdict;
pub fn reason(_query: &str, _verdict: &Verdict) -> Option<&'static str> {
    None
}
