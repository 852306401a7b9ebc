"""Every sentence a customer can read in a message, in English, each under a name of its own.

`text` marks a sentence for translators and names it, so that a merchant can lay words of their own over it.
Values in braces are filled in afterwards: `amount`, `merchant`, `what`, `method`, `failed`, `next_try`,
`deadline`, `support`, `customer`, `scheme`, `expires`, `count`, `total`, `link`. House rules: kind, short, concrete; no
blame, no jargon, no threat; never the reasons a bank keeps to itself.
"""

from __future__ import annotations

from string import Formatter

import msgspec

from recoup.channels.languages import Plural, Tongue, counted

# What the English says about money, days and whom to ask, a merchant's own words have to say too.
_NEEDED = frozenset({"amount", "deadline", "next_try", "support", "count", "total", "expires", "link"})


class Text(msgspec.Struct, frozen=True):
    """One sentence: its name (`soft.subject`) and its English."""

    key: str
    source: str
    plural: Plural | None = None

    def translated(self, tongue: Tongue, n: int = 2) -> str:
        """Our words for it in a language; of a counted sentence the form for `n`."""
        return tongue(self.source) if self.plural is None else tongue.count(self.plural, n)

    @property
    def placeholders(self) -> frozenset[str]:
        """The values it names."""
        return placeholders(self.source)

    @property
    def needed(self) -> frozenset[str]:
        """The values that other words for it must name too."""
        named = self.placeholders & _NEEDED
        return named | {"merchant"} if self.key.startswith("sms.") and named else named


def placeholders(words: str) -> frozenset[str]:
    """The names in braces. Raises ValueError for braces that do not match."""
    return frozenset(name for _, name, _, _ in Formatter().parse(words) if name is not None)


BOOK: dict[str, Text] = {}
"""Every sentence by its name."""


def text(key: str, source: str) -> Text:
    """Marks `source` for translators and keeps it in the book."""
    assert key not in BOOK, key
    BOOK[key] = Text(key, source)
    return BOOK[key]


def numbered(key: str, plural: Plural) -> Text:
    """Keeps a sentence with a number in it in the book."""
    BOOK[key] = Text(key, plural.many, plural)
    return BOOK[key]


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """How one cause is told to the customer who has to do something: the thing to do, why, and the button."""

    subject: Text
    title: Text
    happened: Text
    ask: Text
    button: Text


# fmt: off
HELLO_NAME = text("every.hello_name", "Hello {customer},")
HELLO = text("every.hello", "Hello,")
YOUR_METHOD = text("every.your_method", "your {label}")
SOME_METHOD = text("every.some_method", "your payment method")
CARD_ENDING = text("every.card_ending", "{network} ending {last4}")
PLAIN_CARD_ENDING = text("every.plain_card_ending", "card ending {last4}")
ACCOUNT_ENDING = text("every.account_ending", "bank account ending {last4}")
SOME_SUBSCRIPTION = text("every.some_subscription", "your {merchant} subscription")
DAY_AND_TIME = text("every.day_and_time", "{day} at {time}")
DASH = text("every.dash", "{merchant}: {subject}")
LINK_TEXT = text("every.link", "If the button does not work, open this link:")
LINK_LEAD = text("every.link_lead", "{button}:")
QUESTIONS = text("every.questions", "Questions? Write to {support}.")
WHY_YOU = text("every.why_you", "{merchant} sent you this because it concerns a payment of yours. We never ask for card details by e-mail.")
WHY_OWNER = text("every.why_owner", "{merchant} sent you this because you are named as the owner of the account. We never ask for card details by e-mail.")
WHY_BILLING = text("every.why_billing", "{merchant} sent you this because you are named as a billing contact of the account. We never ask for card details by e-mail.")
PREFERENCES = text("every.preferences", "Choose which messages you get")
TEST_BANNER = text("every.test", "This is a test message. No money moves.")

ROW_AMOUNT = text("rows.amount", "Amount")
ROW_WHAT = text("rows.what", "For")
ROW_METHOD = text("rows.method", "Payment method")
ROW_PAID = text("rows.paid", "Paid on")
ROW_NEXT = text("rows.next_try", "Next try")
ROW_NEXT_PAYMENT = text("rows.next_payment", "Next payment")
ROW_DEADLINE = text("rows.deadline", "Open until")
ROW_EXPIRES = text("rows.expires", "Valid until")
ROW_COLLECTED = text("rows.collected", "Collected on")
ROW_MANDATE = text("rows.mandate", "Mandate reference")
ROW_CREDITOR = text("rows.creditor", "Creditor identifier")
ROW_TOTAL = text("rows.total", "In total")
ROW_REFERENCE = text("rows.reference", "Reference")

BANK_SAID_NO = text("happened.bank_said_no", "On {failed} we tried to collect {amount} for {what}. Your bank said no to {method} this time.")
DEBIT_RETURNED = text("happened.debit_returned", "On {failed} we tried to collect {amount} for {what} by {scheme}. Your bank returned the payment.")
TECHNICAL_FAULT = text("happened.technical", "On {failed} we tried to collect {amount} for {what}. A technical fault got in the way; it has nothing to do with you.")
LIMIT_REACHED = text("happened.limit", "On {failed} we tried to collect {amount} for {what}. Your bank said no to {method} this time, which often means that a daily or monthly limit was reached.")
OUR_SIDE = text("happened.our_side", "On {failed} we tried to collect {amount} for {what}. Something went wrong on our side; it has nothing to do with you.")
PART_PAID = text("happened.part_paid", "Of {whole} for {what}, {paid} is paid already; {amount} is still open.")

SCHEMES = {
    "sepa_debit": text("scheme.sepa_debit", "SEPA direct debit"),
    "bacs_debit": text("scheme.bacs_debit", "Direct Debit"),
    "ach_debit": text("scheme.ach_debit", "ACH debit"),
    "becs_debit": text("scheme.becs_debit", "BECS direct debit"),
    "pad_debit": text("scheme.pad_debit", "pre-authorised debit"),
    "upi": text("scheme.upi", "UPI AutoPay"),
    "e_mandate": text("scheme.e_mandate", "e-mandate"),
}
"""What the customer knows each bank debit as."""

SOFT_SUBJECT_RETRY = text("soft.subject_retry", "We will try your payment again on {next_try}")
SOFT_SUBJECT = text("soft.subject", "Your payment of {amount} did not go through")
SOFT_TITLE_RETRY = text("soft.title_retry", "We will try again on {next_try}")
SOFT_TITLE = text("soft.title", "Your payment did not go through")
SOFT_NOTHING_TO_DO = text("soft.nothing_to_do", "There is nothing you need to do: we will try {method} again on {next_try}. Nothing is cancelled.")
SOFT_DEBIT_AGAIN = text("soft.debit_again", "There is nothing you need to do: we will try again on {next_try}. It helps if your account can cover it on that day. Nothing is cancelled.")
SOFT_WAIT = text("soft.wait", "Nothing is cancelled. You can pay whenever it suits you, with the same or another payment method.")
SOFT_OR_NOW = text("soft.or_now", "If you would rather have it settled, you can pay now, with the same or another payment method.")
SOFT_PICK_DAY = text("soft.pick_day", "Would another day suit you better? Open the payment and choose your day, or pay now, with the same or another payment method.")
PAY_NOW = text("button.pay_now", "Pay {amount} now")
PICK_DAY = text("button.pick_day", "Pay or choose a day")

UNTIL = text("every.until", "Nothing is cancelled; you have until {deadline}.")
NOTHING_CANCELLED = text("every.nothing_cancelled", "Nothing is cancelled.")
ALSO_RETRY = text("every.also_retry", "Meanwhile we will try {method} once more on {next_try}; if that works, we will let you know.")

REMINDER_SUBJECT = text("reminder.subject", "A short reminder: {amount} is still open")
REMINDER_TITLE = text("reminder.title", "{amount} is still open")
REMINDER_HAPPENED = text("reminder.happened", "Your payment of {amount} for {what} did not go through on {failed} and is still open.")

TRIAL_SUBJECT = text("trial.subject", "Your trial has ended: one step to carry on")
TRIAL_TITLE = text("trial.title", "One step to carry on")
TRIAL_HAPPENED = text("trial.happened", "Your trial has ended. On {failed} we tried to collect the first payment of {amount} for {what}, and your bank said no to {method}.")
TRIAL_ASK = text("trial.ask", "Please choose how you would like to pay; it takes about a minute.")
TRIAL_LEAVE = text("trial.leave", "If you would rather not carry on, write to us at {support} and we will see to it.")

FINAL_SUBJECT = text("final.subject", "Please pay {amount} by {deadline}")
FINAL_SUBJECT_OPEN = text("final.subject_open", "Your payment of {amount} is still open")
FINAL_TITLE = text("final.title", "You have until {deadline}")
FINAL_TITLE_OPEN = text("final.title_open", "Your payment is still open")
FINAL_HAPPENED = text("final.happened", "Your payment of {amount} for {what} is still open. We have not been able to collect it from {method}.")
FINAL_ALREADY = text("final.already", "If you have paid in the meantime, thank you: there is nothing more to do.")
FINAL_ASK = text("final.ask", "Paying takes a minute, and everything goes on as before.")
FINAL_TALK = text("final.talk", "If this is a bad moment, write to us at {support} and we will find a way.")

AFTER = {
    "cancel": text("final.after_cancel", "If it is still open then, your subscription will end. You are welcome back at any time."),
    "pause": text("final.after_pause", "If it is still open then, your subscription will be paused. It starts again as soon as you pay."),
    "downgrade": text("final.after_downgrade", "If it is still open then, you will move to a smaller plan. You can move back at any time."),
    "leave_unpaid": text("final.after_leave_unpaid", "If it is still open then, the invoice stays open and we will stop trying to collect it by ourselves."),
    "write_off": text("final.after_write_off", "If it is still open then, we will stop writing to you about it."),
    "hand_over": text("final.after_hand_over", "If it is still open then, somebody from {merchant} will get in touch with you personally."),
}
AFTER_OPEN = {
    "cancel": text("final.open_cancel", "If it stays open, your subscription will end soon. You are welcome back at any time."),
    "pause": text("final.open_pause", "If it stays open, your subscription will soon be paused. It starts again as soon as you pay."),
    "downgrade": text("final.open_downgrade", "If it stays open, you will soon move to a smaller plan. You can move back at any time."),
    "leave_unpaid": text("final.open_leave_unpaid", "We will stop trying to collect it by ourselves; you can still pay at any time."),
    "write_off": text("final.open_write_off", "This is the last time we write to you about it."),
    "hand_over": text("final.open_hand_over", "If it stays open, somebody from {merchant} will get in touch with you personally."),
}

RECOVERED_SUBJECT = text("recovered.subject", "Thank you, your payment of {amount} has arrived")
RECOVERED_TITLE = text("recovered.title", "Thank you, your payment has arrived")
RECOVERED_BODY = text("recovered.body", "We have received {amount} for {what}. Everything goes on as before, and there is nothing more to do.")
RECOVERED_KEEP = text("recovered.keep", "You can keep this message as your confirmation of payment.")

EXPIRING_SUBJECT = text("expiring.subject", "Your card is valid until {expires}")
EXPIRING_TITLE = text("expiring.title", "Your card will soon expire")
EXPIRING_HAPPENED = text("expiring.happened", "The card with which you pay for {what} is valid until the end of {expires}.")
EXPIRING_ASK = text("expiring.ask", "So that nothing is interrupted, please enter your new card before then. It takes about a minute, and nothing is charged now.")
EXPIRING_BUTTON = text("expiring.button", "Update card")

WIN_BACK_SUBJECT = text("win_back.subject", "You are welcome back")
WIN_BACK_TITLE = text("win_back.title", "You are welcome back")
WIN_BACK_HAPPENED = text("win_back.happened", "Some time ago {what} came to an end because a payment did not go through. Perhaps that was never what you wanted.")
WIN_BACK_ASK = text("win_back.ask", "You can start again whenever you like; it takes about a minute. If you would rather not, there is nothing you need to do: we will not write to you about it again.")
WIN_BACK_BUTTON = text("win_back.button", "Start again")

DIGEST_SUBJECT = numbered("digest.subject", counted("{count} payment is still open", "{count} payments are still open"))
DIGEST_HAPPENED = numbered("digest.happened", counted("{count} payment did not go through. It is listed below.", "{count} payments did not go through. They are listed below."))
DIGEST_TITLE = text("digest.title", "{total} is still open")
DIGEST_ASK = text("digest.ask", "You can pay everything at once, with the same or another payment method; it takes about a minute.")
DIGEST_BUTTON = text("digest.button", "Pay {total} now")

NOTICE_SUBJECT = text("pre_debit.subject", "We will collect {amount} on {next_try}")
NOTICE_TITLE = text("pre_debit.title", "We will collect {amount} on {next_try}")
NOTICE_HAPPENED = text("pre_debit.happened", "On {next_try} we will collect {amount} for {what} by {scheme}. This is the notice you get beforehand.")
NOTICE_CARD = text("pre_debit.happened_card", "On {next_try} we will collect {amount} for {what} from {method}. This is the notice you get beforehand.")
NOTICE_CHANGED = text("pre_debit.changed", "The amount is not the same as before: last time it was {before}.")
NOTICE_ASK = text("pre_debit.ask", "There is nothing you need to do. It helps if your account can cover it on that day.")
NOTICE_ASK_CARD = text("pre_debit.ask_card", "There is nothing you need to do.")
NOTICE_TALK = text("pre_debit.talk", "If something about it is not right, write to us at {support} before that day, or pay another way.")
NOTICE_BUTTON = text("pre_debit.button", "See the payment")

# Text messages: who writes, one amount, one link. Two segments have room for 306 characters in most languages, for 134
# where one letter is outside the old alphabet of text messages, with a link of 45 and a name of 24 among them.
SMS_SOFT_RETRY = text("sms.soft_retry", "{merchant}: {amount} did not go through. We try again on {next_try}. Pay or pick a day: {link}")
SMS_SOFT = text("sms.soft", "{merchant}: your payment of {amount} did not go through. Pay here: {link}")
SMS_ACTION = text("sms.action", "{merchant}: your payment of {amount} needs you. Please see to it: {link}")
SMS_CONFIRM = text("sms.confirm", "{merchant}: please confirm your payment of {amount}: {link}")
SMS_CARD = text("sms.card", "{merchant}: please update your card to pay {amount}: {link}")
SMS_REMINDER = text("sms.reminder", "{merchant}: {amount} is still open. Pay here: {link}")
SMS_FINAL = text("sms.final", "{merchant}: please pay {amount} by {deadline}: {link}")
SMS_FINAL_OPEN = text("sms.final_open", "{merchant}: last reminder, {amount} is still open: {link}")
SMS_TRIAL = text("sms.trial", "{merchant}: your trial has ended. To carry on, pay {amount}: {link}")
SMS_RECOVERED = text("sms.recovered", "{merchant}: thank you, your payment of {amount} has arrived.")
SMS_DIGEST = text("sms.digest", "{merchant}: several payments are open, {total} in all. Pay here: {link}")
SMS_EXPIRING = text("sms.expiring", "{merchant}: your card is valid until {expires}. Please enter your new one: {link}")
SMS_NOTICE = text("sms.pre_debit", "{merchant}: we will collect {amount} on {next_try}. Details: {link}")
SMS_STOP = text("sms.stop", "STOP ends texts.")

ANOTHER_WAY = Ask(
    subject=text("another_way.subject", "Please choose another way to pay {amount}"),
    title=text("another_way.title", "Please choose another way to pay"),
    happened=text("another_way.happened", "On {failed} we tried to collect {amount} for {what}. Your bank could not approve it with {method}."),
    ask=text("another_way.ask", "Trying the same again is unlikely to help. Please pay with another card or bank account; it takes about a minute."),
    button=text("another_way.button", "Pay {amount} another way"),
)
SETTLE_YOURSELF = Ask(
    subject=text("settle.subject", "Your payment of {amount} needs you"),
    title=text("settle.title", "Your payment needs you"),
    happened=BANK_SAID_NO,
    ask=text("settle.ask", "Please pay with the link below, with the same or another payment method; it takes about a minute."),
    button=PAY_NOW,
)
ASKS = {
    "expired_card": Ask(
        subject=text("expired_card.subject", "Please update your card to pay {amount}"),
        title=text("expired_card.title", "Please update your card"),
        happened=text("expired_card.happened", "On {failed} we tried to collect {amount} for {what}. It did not go through, because {method} has expired or was replaced."),
        ask=text("expired_card.ask", "Please enter your new card; the payment is then made at once."),
        button=text("expired_card.button", "Update card and pay {amount}"),
    ),
    "invalid_details": Ask(
        subject=text("invalid_details.subject", "Please check your payment details"),
        title=text("invalid_details.title", "Please check your payment details"),
        happened=text("invalid_details.happened", "On {failed} we tried to collect {amount} for {what}. Your bank could not match the details we hold for {method}."),
        ask=text("invalid_details.ask", "Please enter them once more, or choose another way to pay; it takes about a minute."),
        button=text("invalid_details.button", "Check details and pay {amount}"),
    ),
    "authentication_required": Ask(
        subject=text("authentication.subject", "Please confirm your payment of {amount}"),
        title=text("authentication.title", "Your bank asks you to confirm"),
        happened=text("authentication.happened", "On {failed} we tried to collect {amount} for {what}. Your bank wants you to confirm it yourself before it pays from {method}."),
        ask=text("authentication.ask", "Please open the payment and confirm it, in your banking app or the way your bank usually asks you to."),
        button=text("authentication.button", "Confirm {amount}"),
    ),
    "customer_abandoned": Ask(
        subject=text("abandoned.subject", "Your payment of {amount} is not finished yet"),
        title=text("abandoned.title", "One step is left"),
        happened=text("abandoned.happened", "On {failed} a payment of {amount} for {what} was started, but its last step did not take place."),
        ask=text("abandoned.ask", "You can finish it now; it takes about a minute."),
        button=text("abandoned.button", "Finish paying {amount}"),
    ),
    "not_permitted": Ask(
        subject=ANOTHER_WAY.subject,
        title=ANOTHER_WAY.title,
        happened=text("not_permitted.happened", "On {failed} we tried to collect {amount} for {what}. Your bank does not allow this kind of payment with {method}."),
        ask=text("not_permitted.ask", "Please pay with another card or bank account. Or ask your bank to allow it, and pay with the link below."),
        button=ANOTHER_WAY.button,
    ),
    "revoked_authorisation": Ask(
        subject=text("revoked.subject", "Do you want to carry on with {merchant}?"),
        title=text("revoked.title", "Do you want to carry on?"),
        happened=text("revoked.happened", "On {failed} we tried to collect {amount} for {what}. Your bank tells us that we may no longer collect it from {method}."),
        ask=text("revoked.ask", "If you want to carry on, choose how you would like to pay. If you meant to cancel, write to us at {support} and we will see to it."),
        button=text("revoked.button", "Choose how to pay"),
    ),
    "closed_account": ANOTHER_WAY,
    "lost_or_stolen": ANOTHER_WAY,
    "fraud_suspected": ANOTHER_WAY,
}
# fmt: on

# What happened, for the causes that ask nothing of the customer; any other reads as BANK_SAID_NO.
HAPPENED = {
    "technical": TECHNICAL_FAULT,
    "velocity_or_limit": LIMIT_REACHED,
    "merchant_config": OUR_SIDE,
    "currency_or_amount": OUR_SIDE,
    "duplicate": OUR_SIDE,
    "not_a_decline": OUR_SIDE,
}
# Causes that a day of the customer's own choosing may cure.
DAY_MAY_CURE = frozenset({"insufficient_funds", "velocity_or_limit"})
