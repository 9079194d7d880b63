def main() -> None:
    raise SystemExit("counterfoil")
