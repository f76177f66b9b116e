//! Every sentence that a person reads on our pages, in English and in Japanese.
//!
//! [`Texts`] has one field per sentence and both languages fill all of them, so a missing translation does not compile.
//! What is meant for the developer of a client stays in English: it names rules of English specifications.

/// A language the pages speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// English, the default.
    English,
    /// Japanese.
    Japanese,
}

impl Language {
    /// Chooses by `Accept-Language` (RFC 9110 §12.5.4); English when nothing we speak is asked for.
    pub(crate) fn from_accept_language(header: Option<&str>) -> Self {
        let mut best = (Self::English, 0.0_f32);
        for range in header.unwrap_or_default().split(',').take(32) {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().unwrap_or_default();
            let weight = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
            let primary = tag.split('-').next().unwrap_or_default();
            let Some(language) = Self::from_primary(primary) else {
                continue;
            };
            if weight > best.1 {
                best = (language, weight);
            }
        }
        best.0
    }

    /// The first of ours in `ui_locales` (OpenID Connect Core §3.1.2.1), which a client may send.
    pub(crate) fn from_ui_locales(locales: &str) -> Option<Self> {
        locales
            .split(' ')
            .find_map(|tag| Self::from_primary(tag.split('-').next().unwrap_or_default()))
    }

    fn from_primary(tag: &str) -> Option<Self> {
        if tag.eq_ignore_ascii_case("ja") {
            Some(Self::Japanese)
        } else if tag.eq_ignore_ascii_case("en") {
            Some(Self::English)
        } else {
            None
        }
    }

    /// The sentences in this language.
    pub(crate) fn texts(self) -> &'static Texts {
        match self {
            Self::English => &ENGLISH,
            Self::Japanese => &JAPANESE,
        }
    }
}

/// All sentences in one language.
#[derive(Debug)]
pub(crate) struct Texts {
    pub(crate) language_tag: &'static str,
    pub(crate) skip_to_content: &'static str,
    pub(crate) colophon: &'static str,
    pub(crate) for_developers: &'static str,
    pub(crate) reference: &'static str,

    pub(crate) login_title: &'static str,
    pub(crate) login_for: &'static str,
    pub(crate) username: &'static str,
    pub(crate) password: &'static str,
    pub(crate) login_button: &'static str,
    pub(crate) cancel_button: &'static str,
    pub(crate) login_wrong: &'static str,
    pub(crate) login_wait: &'static str,
    pub(crate) login_again: &'static str,
    pub(crate) login_busy: &'static str,
    pub(crate) login_starting: &'static str,

    pub(crate) consent_title: &'static str,
    pub(crate) who_asks: &'static str,
    pub(crate) host_verified: &'static str,
    pub(crate) host_over_http: &'static str,
    pub(crate) calls_itself: &'static str,
    pub(crate) claimed: &'static str,
    pub(crate) first_seen: &'static str,
    pub(crate) registered_here: &'static str,
    pub(crate) nobody_vouches: &'static str,
    pub(crate) client_changed: &'static str,
    pub(crate) returns_to: &'static str,
    pub(crate) this_device: &'static str,
    pub(crate) an_application: &'static str,
    pub(crate) only_this_device_title: &'static str,
    pub(crate) only_this_device: &'static str,
    pub(crate) what_it_gets: &'static str,
    pub(crate) at_resource: &'static str,
    pub(crate) allowed_to: &'static str,
    pub(crate) signed_in_as: &'static str,
    pub(crate) switch_user: &'static str,
    pub(crate) allow_button: &'static str,
    pub(crate) deny_button: &'static str,
    pub(crate) consent_remembered: &'static str,
    pub(crate) consent_each_time: &'static str,

    pub(crate) departure_title: &'static str,
    pub(crate) departure_leads_to: &'static str,
    pub(crate) departure: &'static str,
    pub(crate) departure_what_went_wrong: &'static str,
    pub(crate) departure_link: &'static str,

    pub(crate) scope_openid: &'static str,
    pub(crate) scope_profile: &'static str,
    pub(crate) scope_email: &'static str,
    pub(crate) scope_other: &'static str,

    pub(crate) refused_title: &'static str,
    pub(crate) refused_application: &'static str,
    pub(crate) refused_unreachable: &'static str,
    pub(crate) refused_policy: &'static str,
    pub(crate) refused_request: &'static str,
    pub(crate) refused_what_now: &'static str,
    pub(crate) approval_title: &'static str,
    pub(crate) approval_awaited: &'static str,
    pub(crate) approval_what_now: &'static str,
    pub(crate) flow_lost_title: &'static str,
    pub(crate) flow_lost: &'static str,
    pub(crate) flow_lost_what_now: &'static str,
    pub(crate) forged_title: &'static str,
    pub(crate) forged: &'static str,
    pub(crate) not_found_title: &'static str,
    pub(crate) not_found: &'static str,
    pub(crate) our_fault_title: &'static str,
    pub(crate) our_fault: &'static str,
    pub(crate) our_fault_what_now: &'static str,

    pub(crate) logout_title: &'static str,
    pub(crate) logout_question: &'static str,
    pub(crate) logout_button: &'static str,
    pub(crate) logged_out_title: &'static str,
    pub(crate) logged_out: &'static str,

    pub(crate) about_title: &'static str,
    pub(crate) about: &'static str,
}

impl Texts {
    /// What a scope lets the application do, unless the configuration says it in its own words.
    pub(crate) fn scope(&self, name: &str) -> &'static str {
        match name {
            "openid" => self.scope_openid,
            "profile" => self.scope_profile,
            "email" => self.scope_email,
            _ => self.scope_other,
        }
    }
}

static ENGLISH: Texts = Texts {
    language_tag: "en",
    skip_to_content: "Skip to the content",
    colophon: "Sekisho authorization server. This page loads nothing from elsewhere and runs no scripts.",
    for_developers: "For the developer of the application",
    reference: "Reference for the administrator:",

    login_title: "Sign in",
    login_for: "To continue to",
    username: "User name",
    password: "Password",
    login_button: "Sign in",
    cancel_button: "Cancel",
    login_wrong: "User name or password is not right. Please try again.",
    login_wait: "There were too many attempts. Please wait a moment before you try again.",
    login_again: "Please enter your user name and your password.",
    login_busy: "Many people are signing in at this moment. Please try again in a few seconds.",
    login_starting: "This service has just been started. Please try again in a few seconds.",

    consent_title: "Allow access?",
    who_asks: "Who asks",
    host_verified: "Verified: the description of this application was read from this address.",
    host_over_http: "Not protected: the description of this application was read over a plain connection.",
    calls_itself: "Calls itself",
    claimed: "not verified",
    first_seen: "First time here: nobody on this server has allowed this application before.",
    nobody_vouches: "Nobody vouches for this name: the application has registered itself here.",
    registered_here: "Registered by the administrator of this server.",
    client_changed: "You allowed this application before, but its description has changed since. Please look at it again.",
    returns_to: "Your browser will be sent to",
    this_device: "this device",
    an_application: "an application on this device",
    only_this_device_title: "Did you start this yourself?",
    only_this_device: "The answer goes to a program on your own device, and any program there can claim to be this application. \
        Allow it only if you have just started signing in from it.",
    what_it_gets: "What it would get",
    at_resource: "On this service",
    allowed_to: "It could",
    signed_in_as: "Signed in as",
    switch_user: "Use another account",
    allow_button: "Allow",
    deny_button: "Do not allow",
    consent_each_time: "You are asked each time, because any program on your device could claim to be this application.",
    consent_remembered: "Your decision to allow is remembered until the application asks for more or changes its description.",

    departure_title: "Leave this server?",
    departure_leads_to: "The application that sent you here wants to send you to",
    departure: "Nobody has vouched for this application, and you have not allowed it anything. Its request has failed, and it wants \
        to have your browser back at its own address. Go on only if you know that address. Otherwise you can close this page.",
    departure_what_went_wrong: "What went wrong",
    departure_link: "Go on to that address",

    scope_openid: "Know that it is you",
    scope_profile: "Read your name",
    scope_email: "Read your e-mail address",
    scope_other: "Use the permission",

    refused_title: "This cannot continue",
    refused_application: "The application that sent you here made a request that cannot be accepted. You have done nothing wrong.",
    refused_unreachable: "The description of the application that sent you here could not be read, so we cannot tell who is asking. \
        You have done nothing wrong.",
    refused_policy: "The administrator of this server does not admit the application that sent you here.",
    refused_request: "The request that your browser brought here is not complete.",
    refused_what_now: "You can close this page. If it happens again, tell the maker of the application what is written below.",
    approval_title: "Awaiting approval",
    approval_awaited: "An administrator has to approve this application before it can be used here. Your request has been noted.",
    approval_what_now: "You can close this page, and start again from the application once it has been approved.",
    flow_lost_title: "Please start again",
    flow_lost: "This sign-in has expired or was already completed, or your browser did not keep the cookie for it.",
    flow_lost_what_now: "Go back to the application and start from there.",
    forged_title: "This cannot continue",
    forged: "This form was not sent from our own page, so it was ignored.",
    not_found_title: "Nothing here",
    not_found: "There is no page at this address.",
    our_fault_title: "Something went wrong",
    our_fault: "The fault is on our side, and it has been recorded.",
    our_fault_what_now: "Please try again in a moment.",

    logout_title: "Sign out",
    logout_question: "Do you want to sign out of this server?",
    logout_button: "Sign out",
    logged_out_title: "Signed out",
    logged_out: "You are signed out of this server. Applications that you have allowed may stay connected.",

    about_title: "Authorization server",
    about: "Applications send you here to sign in and to ask for your permission. There is nothing to do on this page itself.",
};

static JAPANESE: Texts = Texts {
    language_tag: "ja",
    skip_to_content: "本文へ移動",
    colophon: "Sekisho 認可サーバー。このページは外部から何も読み込まず、スクリプトも実行しません。",
    for_developers: "アプリケーション開発者の方へ",
    reference: "管理者への問い合わせ番号:",

    login_title: "ログイン",
    login_for: "次のアプリケーションに進みます",
    username: "ユーザー名",
    password: "パスワード",
    login_button: "ログイン",
    cancel_button: "キャンセル",
    login_wrong: "ユーザー名またはパスワードが正しくありません。もう一度お試しください。",
    login_wait: "試行回数が多すぎます。しばらく待ってからもう一度お試しください。",
    login_again: "ユーザー名とパスワードを入力してください。",
    login_busy: "ただいまログインが混み合っています。数秒後にもう一度お試しください。",
    login_starting: "サービスは起動したばかりです。数秒後にもう一度お試しください。",

    consent_title: "アクセスを許可しますか？",
    who_asks: "要求元",
    host_verified: "確認済み: このアプリケーションの情報は、このアドレスから取得しました。",
    host_over_http: "未保護: このアプリケーションの情報は、暗号化されていない通信で取得しました。",
    calls_itself: "自称",
    claimed: "未確認",
    first_seen: "初めてのアプリケーション: このサーバーではまだ誰も許可していません。",
    nobody_vouches: "この名前は誰も保証していません。アプリケーションが自ら登録したものです。",
    registered_here: "このサーバーの管理者が登録したアプリケーションです。",
    client_changed: "以前に許可したアプリケーションですが、その後、登録情報が変更されました。内容をもう一度ご確認ください。",
    returns_to: "許可後のブラウザーの移動先",
    this_device: "この端末",
    an_application: "この端末のアプリケーション",
    only_this_device_title: "ご自身で始めた操作ですか？",
    only_this_device: "結果はお使いの端末上のプログラムに渡されます。端末上のどのプログラムでも、このアプリケーションを名乗ることができます。\
        たった今ご自身でこのアプリケーションからログインを始めた場合にのみ許可してください。",
    what_it_gets: "許可される内容",
    at_resource: "利用先",
    allowed_to: "できること",
    signed_in_as: "ログイン中のユーザー:",
    switch_user: "別のアカウントを使う",
    allow_button: "許可する",
    deny_button: "許可しない",
    consent_each_time: "お使いの端末上のどのプログラムでもこのアプリケーションを名乗れるため、毎回確認します。",
    consent_remembered: "許可した内容は記憶されます。アプリケーションが追加の権限を求めたとき、または登録情報が変わったときは、再度確認します。",

    departure_title: "このサーバーから移動しますか？",
    departure_leads_to: "アプリケーションが指定した移動先",
    departure: "このアプリケーションは誰にも確認されておらず、お客様もまだ何も許可していません。要求は失敗し、アプリケーションは\
        自身のアドレスへブラウザーを戻そうとしています。移動先に心当たりがある場合にのみ進んでください。\
        心当たりがない場合は、このページを閉じてかまいません。",
    departure_what_went_wrong: "エラーの内容",
    departure_link: "上記の移動先に進む",

    scope_openid: "あなたを識別する",
    scope_profile: "あなたの名前を読み取る",
    scope_email: "あなたのメールアドレスを読み取る",
    scope_other: "次の権限を使う",

    refused_title: "続行できません",
    refused_application: "アプリケーションから受け取った要求に問題があるため、続行できません。お客様の操作に誤りはありません。",
    refused_unreachable: "アプリケーションの情報を取得できず、要求元を確認できませんでした。お客様の操作に誤りはありません。",
    refused_policy: "このサーバーの管理者は、このアプリケーションの利用を認めていません。",
    refused_request: "ブラウザーから届いた要求が不完全です。",
    refused_what_now: "このページは閉じてかまいません。繰り返し起きる場合は、以下の内容をアプリケーションの開発元にお伝えください。",
    approval_title: "承認待ち",
    approval_awaited: "このアプリケーションを使うには、管理者の承認が必要です。申請を受け付けました。",
    approval_what_now: "このページは閉じてかまいません。承認された後に、アプリケーションからもう一度始めてください。",
    flow_lost_title: "もう一度始めてください",
    flow_lost: "このログインは期限切れか、すでに完了しています。または、必要な Cookie がブラウザーに保存されていません。",
    flow_lost_what_now: "アプリケーションに戻り、最初からやり直してください。",
    forged_title: "続行できません",
    forged: "このフォームは当サーバーのページから送信されたものではないため、受け付けませんでした。",
    not_found_title: "ページがありません",
    not_found: "このアドレスにはページがありません。",
    our_fault_title: "エラーが発生しました",
    our_fault: "サーバー側の問題です。内容は記録されました。",
    our_fault_what_now: "しばらくしてから、もう一度お試しください。",

    logout_title: "ログアウト",
    logout_question: "このサーバーからログアウトしますか？",
    logout_button: "ログアウト",
    logged_out_title: "ログアウトしました",
    logged_out: "このサーバーからログアウトしました。許可済みのアプリケーションは、接続されたままの場合があります。",

    about_title: "認可サーバー",
    about: "アプリケーションでのログインと許可の確認に使われるサーバーです。このページで行う操作はありません。",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_with_the_highest_weight_wins() {
        let cases = [
            (None, Language::English),
            (Some(""), Language::English),
            (Some("ja"), Language::Japanese),
            (Some("ja-JP,ja;q=0.9,en;q=0.8"), Language::Japanese),
            (Some("en-US,en;q=0.9,ja;q=0.8"), Language::English),
            (Some("fr, ja;q=0.5"), Language::Japanese),
            (Some("fr"), Language::English),
            (Some("ja;q=0, en;q=0.1"), Language::English),
            (Some("ja;q=nonsense"), Language::English),
        ];
        for (header, language) in cases {
            assert_eq!(
                Language::from_accept_language(header),
                language,
                "{header:?}"
            );
        }
    }

    #[test]
    fn a_client_may_choose_among_our_languages() {
        assert_eq!(
            Language::from_ui_locales("fr-CA ja-JP en"),
            Some(Language::Japanese)
        );
        assert_eq!(Language::from_ui_locales("fr"), None);
    }
}
