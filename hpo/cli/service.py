"""Commands of the service: the same studies, on processes that outlive the terminal."""
