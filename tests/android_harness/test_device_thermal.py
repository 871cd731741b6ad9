"""The test device's model of heat, without a device."""

from __future__ import annotations

import pytest
from testing.thermal_model import ThermalDesign, ThermalModel


@pytest.fixture
def model() -> ThermalModel:
    design = ThermalDesign(full_load_rise_celsius=20.0, tau_s=100.0, throttling_rises_celsius=(10.0, 15.0))
    return ThermalModel(design)


def test_one_time_constant_of_work_is_63_percent_of_the_way(model: ThermalModel):
    model.work(100.0)
    assert model.rise_celsius == pytest.approx(20.0 * 0.6321, abs=1e-3)
    assert model.status == 1


def test_endless_work_ends_at_the_full_rise(model: ThermalModel):
    model.work(1e6)
    assert model.rise_celsius == pytest.approx(20.0)
    assert model.status == 2


def test_work_in_parts_is_work_at_once(model: ThermalModel):
    for _ in range(50):
        model.work(1.0)
    whole = ThermalModel(model.design)
    whole.work(50.0)
    assert model.rise_celsius == pytest.approx(whole.rise_celsius)


def test_rest_cools_to_where_it_started(model: ThermalModel):
    model.work(300.0)
    model.rest(100.0)
    assert model.status == 0
    model.rest(1e6)
    assert model.rise_celsius == pytest.approx(0.0)
