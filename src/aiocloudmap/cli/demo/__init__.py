"""The story of the library, told live: the same load three ways, against a Cloud Map on this machine."""
