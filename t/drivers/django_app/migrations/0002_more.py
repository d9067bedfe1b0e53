from django.db import migrations, models

from django_app import MYSQL, NAME, table


def fill(apps, editor):
    apps.get_model("django_app", "Author").objects.using(editor.connection.alias).update(price=1)


class Migration(migrations.Migration):
    dependencies = [("django_app", "0001_initial")]
    operations = [
        migrations.AddField("Author", "took", models.DurationField(null=True)),
        migrations.AddField("Author", "note", models.TextField(default="x")),
        migrations.AlterField("Author", "name", models.CharField(max_length=300, unique=True)),
        migrations.AddIndex("Book", models.Index(fields=["title", "author"], name=NAME + "title_ix")),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.RunSQL(f"ALTER TABLE {table('book')} COMMENT = 'books'" if MYSQL else f"COMMENT ON TABLE {table('book')} IS 'books'", migrations.RunSQL.noop),
        migrations.RemoveField("Author", "note"),
    ]
