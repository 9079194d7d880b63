"""A coupon for Apple's and Google's apps: signed so that they, and openssl, believe it."""

import io
import json
import shutil
import subprocess
import zipfile
from dataclasses import replace
from datetime import timedelta
from hashlib import sha1
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from PIL import Image

from coupon_engine.errors import PassesNotSetUp
from coupon_engine.passes import apple, google
from coupon_engine.passes.content import PassContent, Place
from coupon_engine.passes.signers import Signers, read_signers
from coupon_engine.settings import Settings, SettingsRefused
from tests import make
from tests.coupon_engine.passes import paperwork
from tests.coupon_engine.passes.paperwork import ACCOUNT, ISSUER, PASS_TYPE, TEAM
from tests.make import NOON

CONTENT = PassContent(
    coupon_id=make.an_id(),
    offer_id=make.an_id(),
    language="zh",
    title="立减2欧元",
    offered_by="Corner shop",
    operator="Acme",
    benefit=("立减€2.00。",),
    conditions=("消费满€10.00可用。",),
    code="CP1A" + "7" * 161,
    short_code="7K3M-9QXA-0T5C",
    valid_from=NOON,
    valid_until=NOON + timedelta(days=30),
    places=(Place("Main street", 52.520008, 13.404954),),
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    files = paperwork.apple_files(tmp_path)
    return Settings(
        apple_pass_certificate=files.certificate,
        apple_pass_key=files.key,
        apple_pass_authority=files.authority,
        google_wallet_account=paperwork.google_file(tmp_path),
        google_wallet_issuer=ISSUER,
    )


def unpacked(file: bytes, folder: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        archive.extractall(folder)
    return folder


def verify(folder: Path, authority: Path) -> subprocess.CompletedProcess[bytes]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not on this machine")
    return subprocess.run(
        [
            *(openssl, "smime", "-verify", "-binary", "-inform", "DER", "-purpose", "any"),
            *("-in", folder / "signature", "-content", folder / "manifest.json"),
            *("-CAfile", authority),
        ],
        capture_output=True,
        check=False,
    )


def test_openssl_believes_a_pass(settings: Settings, tmp_path: Path) -> None:
    file = apple.pkpass(read_signers(settings).of_apple(), CONTENT)

    folder = unpacked(file, tmp_path / "pass")
    verified = verify(folder, tmp_path / "authority.pem")

    assert verified.returncode == 0, verified.stderr
    assert verified.stdout == (folder / "manifest.json").read_bytes()


def test_openssl_sees_a_manifest_that_was_changed(settings: Settings, tmp_path: Path) -> None:
    file = apple.pkpass(read_signers(settings).of_apple(), CONTENT)
    folder = unpacked(file, tmp_path / "pass")
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"a", b"b", 1))

    assert verify(folder, tmp_path / "authority.pem").returncode != 0


def test_the_manifest_names_every_file_by_its_hash(settings: Settings, tmp_path: Path) -> None:
    folder = unpacked(apple.pkpass(read_signers(settings).of_apple(), CONTENT), tmp_path / "pass")

    manifest = json.loads((folder / "manifest.json").read_bytes())

    files = {path.name for path in folder.iterdir()} - {"manifest.json", "signature"}
    assert set(manifest) == files == {"pass.json", "icon.png", "icon@2x.png", "icon@3x.png"}
    for name in files:
        data = (folder / name).read_bytes()
        assert manifest[name] == sha1(data, usedforsecurity=False).hexdigest()
    with Image.open(folder / "icon@2x.png") as icon:
        assert (icon.format, icon.size) == ("PNG", (58, 58))


def test_a_pass_shows_the_coupon(settings: Settings, tmp_path: Path) -> None:
    folder = unpacked(apple.pkpass(read_signers(settings).of_apple(), CONTENT), tmp_path / "pass")

    shown = json.loads((folder / "pass.json").read_bytes())

    assert (shown["passTypeIdentifier"], shown["teamIdentifier"]) == (PASS_TYPE, TEAM)
    assert shown["serialNumber"] == str(CONTENT.coupon_id)
    assert shown["barcodes"] == [
        {
            "format": "PKBarcodeFormatQR",
            "message": CONTENT.code,
            "messageEncoding": "iso-8859-1",
            "altText": "7K3M-9QXA-0T5C",
        }
    ]
    assert shown["expirationDate"] == "2026-04-01T12:00:00+00:00"
    assert shown["coupon"]["primaryFields"][0]["value"] == "立减2欧元"
    assert shown["coupon"]["backFields"][1]["value"] == "消费满€10.00可用。"
    assert shown["locations"] == [
        {"latitude": 52.520008, "longitude": 13.404954, "relevantText": "Main street"}
    ]


def test_google_reads_who_signed_and_what_is_shown(settings: Settings) -> None:
    link = google.save_link(read_signers(settings).of_google(), CONTENT, now=NOON)

    token = link.removeprefix("https://pay.google.com/gp/v/save/")
    public = RSAKey.import_key(paperwork.pem(paperwork.rsa_key(1)))
    told = jwt.decode(token, public, algorithms=["RS256"]).claims
    assert (told["iss"], told["aud"], told["typ"]) == (ACCOUNT, "google", "savetowallet")
    (offer,), (coupon,) = told["payload"]["offerClasses"], told["payload"]["offerObjects"]
    assert coupon["classId"] == offer["id"]
    assert coupon["id"] == f"{ISSUER}.{CONTENT.coupon_id}"
    assert coupon["barcode"]["value"] == CONTENT.code
    assert offer["finePrint"] == "消费满€10.00可用。"


def test_a_link_that_would_be_too_long_leaves_the_conditions_out(settings: Settings) -> None:
    wordy = replace(CONTENT, conditions=("消费满€10.00可用。",) * 40)

    link = google.save_link(read_signers(settings).of_google(), wordy, now=NOON)

    assert len(link) <= google.MOST_LETTERS


def test_without_settings_no_passes_are_made() -> None:
    none = read_signers(Settings())

    assert none == Signers()
    with pytest.raises(PassesNotSetUp):
        none.of_apple()
    with pytest.raises(PassesNotSetUp):
        none.of_google()


@pytest.mark.parametrize("wrong", ["gone", "no pass", "another key", "no account"])
def test_a_server_with_wrong_files_does_not_start(
    settings: Settings, tmp_path: Path, wrong: str
) -> None:
    if wrong == "gone":
        (tmp_path / "own.pem").unlink()
    elif wrong == "no pass":
        paperwork.apple_files(tmp_path, is_for_passes=False)
    elif wrong == "another key":
        (tmp_path / "own.key").write_text(paperwork.pem(paperwork.rsa_key(2)))
    else:
        (tmp_path / "account.json").write_text("{}")

    with pytest.raises(SettingsRefused, match="passes"):
        read_signers(settings)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ("apple_pass_certificate", "COUNTERFOIL_APPLE_PASS_KEY"),
        ("google_wallet_account", "COUNTERFOIL_GOOGLE_WALLET_ISSUER"),
    ],
)
def test_passes_are_set_up_whole_or_not_at_all(tmp_path: Path, given: str, missing: str) -> None:
    with pytest.raises(ValueError, match=missing):
        Settings.model_validate({given: tmp_path})
