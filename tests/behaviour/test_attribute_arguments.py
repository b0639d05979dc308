"""Arguments of attribute(): wrong ones are refused, whether the answer is known or not."""

from __future__ import annotations

import pytest

from aiocloudmap import ConfigurationError

WRONG = [
    ((None,), "^invalid attribute name None: expected a string like 'QUEUE_URL'$"),
    ((5,), "^invalid attribute name 5: "),
    ((["N"],), r"^invalid attribute name \['N'\]: "),
    ((b"N",), "^invalid attribute name b'N': "),
    ((object(),), "^invalid attribute name <object object .*>: "),
    (("N", 5), "^invalid cast 5: expected a function of one string, like int$"),
    (("N", None), "^invalid cast None: "),
    (("N", "int"), "^invalid cast 'int': "),
]


@pytest.mark.parametrize("default", [{}, {"default": "d"}], ids=["no default", "default"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("instances", [1, 2])
@pytest.mark.parametrize(("arguments", "message"), WRONG)
async def test_a_wrong_argument_is_a_configuration_error(stage, instances, known, default, arguments, message):
    """Wrong arguments are not blamed on the data, and a default does not hide them."""
    for number in range(instances):
        stage.world.register("shop/carts", f"cart-{number}", {"N": "1"})
    service = stage.cloud_map().service("shop/carts")
    if known:
        await service.resolve()
    with pytest.raises(ConfigurationError, match=message):
        await service.attribute(*arguments, **default)


@pytest.mark.parametrize("arguments", [(None,), ("N", 5)])
async def test_a_wrong_argument_is_refused_without_instances_too(stage, arguments):
    """Also for a service without instances, and during an outage."""
    stage.world.add_service("shop/carts")
    service = stage.cloud_map().service("shop/carts")
    await service.resolve()
    with pytest.raises(ConfigurationError):
        await service.attribute(*arguments, default="d")
    stage.faults.server_error()
    with pytest.raises(ConfigurationError):
        await stage.cloud_map().service("shop/carts").attribute(*arguments, default="d")
