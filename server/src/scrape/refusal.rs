//! What to do about a target that refuses, as far as its status and first words tell.
//!
//! The metrics port of a gateway is by default behind controller-runtime's filter, which asks the API server who the
//! caller is (TokenReview) and what it may do (SubjectAccessReview); its answers are the ones told apart here.

use crate::http_client::Url;

/// The token that every pod has.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Advice for a status other than 200; empty where there is none, otherwise it begins with `: `.
pub(super) fn advice(status: u16, words: &str, url: &Url) -> String {
    let path = url.path_and_query.split('?').next().unwrap_or("/");
    let words = words.trim();
    match status {
        401 => format!(
            ": it wants credentials, and ours are missing or wrong: set authorization: {{credentials_file: {POD_TOKEN}}} \
             in the job, or turn authentication off on the metrics port"
        ),
        403 => {
            let whom = words.strip_prefix("Authorization denied for user ");
            let whom = whom.map_or("the token's user".to_owned(), |user| {
                user.lines().next().unwrap_or("").to_owned()
            });
            format!(
                ": {whom} may not read it: bind a ClusterRole with rules: [{{nonResourceURLs: [\"{path}\"], verbs: \
                 [\"get\"]}}] to it"
            )
        }
        500 if words.starts_with("Authentication failed")
            || words.starts_with("Authorization for user") =>
        {
            format!(
                ": {:?}: the target could not ask its API server about our token: its ServiceAccount needs the \
                 ClusterRole system:auth-delegator, and the API server must be up",
                words.lines().next().unwrap_or("")
            )
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_a_gateway_say_what_to_set() {
        let url = Url::parse("https://h:9090/metrics?x=1").expect("valid");
        for (status, words, says) in [
            (401, "Unauthorized\n", "credentials_file: /var/run/secrets"),
            (
                403,
                "Authorization denied for user system:serviceaccount:a:b\n",
                ": system:serviceaccount:a:b may not read it: bind a ClusterRole with rules: [{nonResourceURLs: \
                 [\"/metrics\"], verbs: [\"get\"]}]",
            ),
            (403, "<html>", "the token's user may not"),
            (500, "Authentication failed\n", "system:auth-delegator"),
        ] {
            let advice = advice(status, words, &url);
            assert!(
                advice.starts_with(": ") && advice.contains(says),
                "{advice}"
            );
        }
        for (status, words) in [(500, "out of memory"), (404, ""), (503, "Unauthorized")] {
            assert_eq!(advice(status, words, &url), "");
        }
    }
}
