"""What several functions say."""


def greeting(name):
    return f"hello {name}"
