"""Who signs passes here, as the settings say."""

from dataclasses import dataclass

from coupon_engine.errors import PassesNotSetUp
from coupon_engine.passes import apple, google
from coupon_engine.passes.apple import AppleSigner
from coupon_engine.passes.google import GoogleSigner
from coupon_engine.settings import Settings, SettingsRefused


@dataclass(frozen=True, slots=True)
class Signers:
    apple: AppleSigner | None = None
    google: GoogleSigner | None = None

    def of_apple(self) -> AppleSigner:
        """Return Apple's.

        Raises:
            PassesNotSetUp: The settings name no certificate.
        """
        if self.apple is None:
            raise PassesNotSetUp(app="apple")
        return self.apple

    def of_google(self) -> GoogleSigner:
        """Return Google's.

        Raises:
            PassesNotSetUp: The settings name no service account.
        """
        if self.google is None:
            raise PassesNotSetUp(app="google")
        return self.google


def read_signers(settings: Settings) -> Signers:
    """Read the files that the settings name, so that a server with wrong ones does not start.

    Raises:
        SettingsRefused: One of them is missing, or holds something else.
    """
    try:
        return Signers(apple=_apple(settings), google=_google(settings))
    except (OSError, ValueError) as error:
        raise SettingsRefused(f"a file for passes cannot be used: {error}") from error


def _apple(settings: Settings) -> AppleSigner | None:
    certificate, key = settings.apple_pass_certificate, settings.apple_pass_key
    authority = settings.apple_pass_authority
    if certificate is None or key is None or authority is None:
        return None
    return apple.read_signer(certificate, key, authority)


def _google(settings: Settings) -> GoogleSigner | None:
    account, issuer = settings.google_wallet_account, settings.google_wallet_issuer
    return None if account is None or issuer is None else google.read_signer(account, issuer)
