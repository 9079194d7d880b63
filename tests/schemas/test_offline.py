"""Where a hub may be: inside a shop, and nowhere else."""

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.offline import HubUrl

URL: TypeAdapter[str] = TypeAdapter(HubUrl)


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.10:8790",
        "http://10.255.0.1:1",
        "http://172.31.0.1:65535",
        "http://127.0.0.1:8790",
        "http://[::1]:8790",
        "http://[fd12:3456::1]:8790",
    ],
)
def test_a_hub_is_in_a_shops_own_network(url: str) -> None:
    assert URL.validate_python(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://192.168.1.10:8790",
        "ftp://192.168.1.10:8790",
        "javascript:alert(1)",
        "http://8.8.8.8:8790",
        "http://172.32.0.1:8790",
        "http://169.254.169.254:80",  # where clouds keep their secrets
        "http://0.0.0.0:8790",
        "http://[2001:db8::1]:8790",
        "http://[::ffff:8.8.8.8]:8790",
        "http://hub.example:8790",
        "http://localhost:8790",
        "http://192.168.1.10",
        "http://192.168.1.10:0",
        "http://192.168.1.10:65536",
        "http://192.168.1.10:8790/",
        "http://192.168.1.10:8790/elsewhere",
        "http://user@192.168.1.10:8790",
        "http://192.168.1.10:8790@8.8.8.8:80",
        "http://192.168.1.10:8790\n",
        "http://3232235786:8790",
        "http://192.168.1:8790",
        "http://192.168.001.010:8790",
        "http://１９２.168.1.10:8790",
        "",
    ],
)
def test_whatever_else_is_no_hub(url: str) -> None:
    with pytest.raises(ValidationError):
        URL.validate_python(url)
