"""Django REST Framework, laid out as a Django project is."""
