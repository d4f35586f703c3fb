"""What the made-up task files call."""


def longer(dataset):
    return dataset.filter(lambda row: len(row["answer"]) > 3).map(
        lambda row: {"prompt": f"{row['kind']}: {row['sum']} ="}
    )


def target(row):
    return row["total"]


def scores(row, results):
    said = results[0].split()
    return {"words": len(said), "pair": (row["kind"], len(said)), "unlisted": float(len(row["kind"]))}


def spread(values):
    return max(size for _, size in values) - min(size for _, size in values) + len({kind for kind, _ in values})
