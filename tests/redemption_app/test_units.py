"""The web apps, tested in their own language: their units, and their types."""

from redemption_app import build, wire_types


def test_the_units_of_the_apps_are_right() -> None:
    build.fetch()

    build.run("vitest/vitest.mjs", "run", "--reporter=dot")


def test_the_apps_fit_the_api_as_it_is_now() -> None:
    wire_types.write()

    build.run("svelte-check/bin/svelte-check", "--tsconfig", "tsconfig.json", "--fail-on-warnings")
